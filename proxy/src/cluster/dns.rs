//! Clusters whose endpoints are names (`STRICT_DNS`, `LOGICAL_DNS`).
//!
//! In: such clusters, from the store. Out: their endpoint sets, put in force as answers come. One task on the
//! control thread asks again when `dns_refresh_rate` has passed; a failed question leaves the last answer in force.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::compile::{Assignment, Resolved, Where, endpoint_set};
use crate::config::{Cluster, Discovery, DnsFamily};
use crate::xds::publish;

/// The clusters to resolve.
#[derive(Debug, Default)]
pub struct DnsTable {
    clusters: Mutex<HashMap<Arc<str>, Entry>>,
    wake: Notify,
}

#[derive(Clone, Debug)]
struct Entry {
    cluster: Arc<Cluster>,
    assignment: Arc<Assignment>,
    /// Last good answers.
    resolved: Resolved,
    /// `None`: at once.
    due: Option<Instant>,
}

/// How soon a failed question is asked again.
const RETRY: Duration = Duration::from_secs(1);

impl DnsTable {
    /// Takes a new or changed cluster; what was resolved before is put in force at once.
    pub(crate) fn put(&self, cluster: &Arc<Cluster>, assignment: &Arc<Assignment>) {
        let mut clusters = self.clusters.lock();
        let resolved = clusters.remove(&cluster.name).map(|old| old.resolved).unwrap_or_default();
        let entry = Entry { cluster: cluster.clone(), assignment: assignment.clone(), resolved, due: None };
        entry.publish();
        clusters.insert(cluster.name.clone(), entry);
        self.wake.notify_one();
    }

    /// Forgets a cluster.
    pub(crate) fn remove(&self, name: &str) {
        self.clusters.lock().remove(name);
    }

    /// Resolves for ever, with the system's resolver.
    pub async fn run(&self) {
        let lookup = |name: Arc<str>| async move {
            let found = tokio::net::lookup_host((&*name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        };
        self.run_with(lookup).await;
    }

    /// Resolves for ever, by `lookup`.
    pub(crate) async fn run_with<F, A>(&self, lookup: F)
    where
        F: Fn(Arc<str>) -> A,
        A: Future<Output = io::Result<Vec<IpAddr>>>,
    {
        loop {
            let now = Instant::now();
            let due: Vec<Entry> = self
                .clusters
                .lock()
                .values()
                .filter(|entry| entry.due.is_none_or(|due| due <= now))
                .cloned()
                .collect();
            futures_util::future::join_all(due.into_iter().map(|entry| self.resolve(entry, &lookup))).await;
            let next = self.clusters.lock().values().map(|entry| entry.due.unwrap_or(now)).min();
            match next {
                Some(next) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(next) => {}
                        () = self.wake.notified() => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    async fn resolve<F, A>(&self, mut entry: Entry, lookup: &F)
    where
        F: Fn(Arc<str>) -> A,
        A: Future<Output = io::Result<Vec<IpAddr>>>,
    {
        let mut failed = false;
        for name in entry.names() {
            match lookup(name.clone()).await {
                Ok(found) => {
                    let kept = entry.kept(found);
                    entry.resolved.insert(name, kept);
                }
                Err(error) => {
                    tracing::debug!(cluster = &*entry.cluster.name, name = &*name, %error, "not resolved");
                    failed = true;
                }
            }
        }
        let wait = if failed { RETRY } else { entry.cluster.settings.dns_refresh.max(RETRY) };
        let mut clusters = self.clusters.lock();
        let Some(current) = clusters.get_mut(&entry.cluster.name) else { return };
        if !Arc::ptr_eq(&current.cluster, &entry.cluster) {
            // Changed meanwhile: its own question is due already.
            return;
        }
        current.due = Some(Instant::now() + wait);
        if current.resolved != entry.resolved {
            current.resolved = entry.resolved;
            current.publish();
        }
    }
}

impl Entry {
    fn names(&self) -> Vec<Arc<str>> {
        let all = self.assignment.localities.iter().flat_map(|locality| &locality.endpoints);
        let mut names: Vec<_> = all
            .filter_map(|endpoint| match &endpoint.address {
                Where::Name(name, _) => Some(name.clone()),
                Where::At(_) => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The addresses that this cluster uses, in a fixed order.
    fn kept(&self, mut found: Vec<IpAddr>) -> Vec<IpAddr> {
        let settings = &self.cluster.settings;
        let (four, six) = (found.iter().any(IpAddr::is_ipv4), found.iter().any(IpAddr::is_ipv6));
        match settings.dns_family {
            DnsFamily::All => {}
            DnsFamily::V4Only => found.retain(IpAddr::is_ipv4),
            DnsFamily::V6Only => found.retain(IpAddr::is_ipv6),
            DnsFamily::Auto if six => found.retain(IpAddr::is_ipv6),
            DnsFamily::V4Preferred if four => found.retain(IpAddr::is_ipv4),
            DnsFamily::Auto | DnsFamily::V4Preferred => {}
        }
        if settings.discovery == Discovery::LogicalDns {
            // One logical endpoint: the first address, whatever it is.
            found.truncate(1);
            return found;
        }
        found.sort();
        found.dedup();
        found
    }

    fn publish(&self) {
        let previous = self.cluster.endpoints.load();
        publish(
            &self.cluster,
            endpoint_set(&self.assignment, &self.cluster.settings, &previous, &self.resolved),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Assigned, Locality};
    use crate::config::ClusterSettings;

    fn cluster(discovery: Discovery) -> Arc<Cluster> {
        Arc::new(Cluster {
            name: "c".into(),
            id: 1,
            settings: ClusterSettings { discovery, ..Default::default() },
            endpoints: Arc::new(base::Live::new(Default::default())),
            limits: Arc::default(),
            outliers: Arc::default(),
            version: "1".into(),
        })
    }

    fn assignment() -> Arc<Assignment> {
        let endpoint = Assigned {
            address: Where::Name("ext.example".into(), 80),
            weight: 1,
            healthy: true,
            labels: Vec::new(),
            workload: None,
            hostname: "".into(),
        };
        let locality = Locality { priority: 0, name: "".into(), weight: 1, endpoints: vec![endpoint] };
        Arc::new(Assignment { localities: vec![locality], overprovisioning: 140, version: "1".into() })
    }

    #[tokio::test(start_paused = true)]
    async fn answers_come_into_force_and_stay_on_failure() {
        let table = DnsTable::default();
        let cluster = cluster(Discovery::StrictDns);
        table.put(&cluster, &assignment());
        let calls = std::cell::Cell::new(0_u8);
        let lookup = |_| {
            calls.set(calls.get() + 1);
            let answer = match calls.get() {
                1 => Ok(vec![IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 1])]),
                2 => Err(io::Error::other("no answer")),
                _ => Ok(vec![IpAddr::from([10, 0, 0, 3])]),
            };
            async move { answer }
        };
        let mut reader = cluster.endpoints.reader();
        let check = async {
            let mut seen = Vec::new();
            while seen.last() != Some(&1) {
                seen.push(reader.changed().await.all().count());
            }
            assert_eq!(seen, [2, 1]);
        };
        tokio::select! {
            () = table.run_with(lookup) => {}
            () = check => {}
        }
        assert_eq!(calls.get(), 3);
    }
}
