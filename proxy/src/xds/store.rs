//! `Store`: what was received, compiled and put in force. One owner, on the control thread.
//!
//! In: batches of resources and removals, from the session or a file. Out: rejects for the NACK, a new Config in
//! `Live` when something but endpoints changed, secrets and names in their own tables. Promises: a bad resource
//! blocks no other and leaves its last good version in force; equal bytes are not compiled again; endpoints never
//! cause a new Config; survivors keep endpoints, limits, ejections and, where connections are alike, their pools.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use base::Live;
use bytes::Bytes;
use wire::nds::NameTable;
use wire::{Kind, Reject, Resource};

use super::carry::{keep_tls, refresh, same_sets};
use super::wanted::Wanted;
use crate::cluster::DnsTable;
use crate::compile::{
    Assignment, ClusterPart, Part, Parts, Resolved, RoutePart, Slots, endpoint_set, join, link, lower,
};
use crate::config::{Cluster, Config, Discovery, EndpointSet, VirtualHost};
use crate::tls::{SecretSource, Secrets};

/// Resources that came together.
#[derive(Debug, Default)]
pub struct Batch {
    pub added: Vec<Resource>,
    pub removed: Vec<(Kind, Arc<str>)>,
}

/// What a batch changed.
#[derive(Debug, Default)]
pub struct Changed {
    /// A new Config is in force.
    pub config: bool,
    /// Listeners were added, changed or removed: reconcile sockets.
    pub listeners: bool,
    /// Who must be subscribed to may have changed: ask [`Store::wanted`].
    pub wanted: bool,
    /// The name table changed.
    pub names: bool,
    /// Refused resources of this batch.
    pub rejects: Vec<Reject>,
}

/// One resource as it is in force, for dumps.
#[derive(Clone, Debug)]
pub struct Held {
    /// Last good version; `None`: there never was one.
    pub good: Option<(Arc<str>, Bytes)>,
    pub updated: SystemTime,
    /// From a file, not from the session: sessions cannot remove it.
    pub fixed: bool,
    /// The newest version, if it was refused.
    pub rejected: Option<Rejected>,
}

/// A refused version.
#[derive(Clone, Debug)]
pub struct Rejected {
    pub version: Arc<str>,
    pub bytes: Bytes,
    pub at: SystemTime,
    pub reject: Reject,
}

/// Everything a proxy was told.
#[derive(Debug)]
pub struct Store {
    held: BTreeMap<(Kind, Arc<str>), Held>,
    slots: Slots,
    parts: Parts,
    /// By the name of the assignment.
    assignments: HashMap<Arc<str>, Arc<Assignment>>,
    /// Clusters that an assignment is for.
    users: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// `connection_key` of each cluster.
    keys: HashMap<Arc<str>, u128>,
    routes: BTreeMap<Arc<str>, RoutePart>,
    /// Virtual hosts that came alone, by their full name `TABLE/HOST`.
    hosts: BTreeMap<Arc<str>, Arc<VirtualHost>>,
    next_id: u64,
    rejected_total: u64,
    live: Live<Config>,
    secrets: Arc<Secrets>,
    names: Live<NameTable>,
    workloads: Live<HashMap<Arc<str>, Arc<wire::nds::Workload>>>,
    dns: Arc<DnsTable>,
}

impl Store {
    /// A store that publishes to `live` and fills `secrets`.
    pub fn new(live: Live<Config>, secrets: Arc<Secrets>) -> Self {
        Store {
            held: BTreeMap::new(),
            slots: Slots::default(),
            parts: Parts::default(),
            assignments: HashMap::new(),
            users: HashMap::new(),
            keys: HashMap::new(),
            routes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            next_id: 0,
            rejected_total: 0,
            live,
            secrets,
            names: Live::new(NameTable::default()),
            workloads: Live::new(HashMap::new()),
            dns: Arc::default(),
        }
    }

    /// Names for the DNS server.
    pub fn names(&self) -> &Live<NameTable> {
        &self.names
    }

    /// Who lives at which address.
    pub fn workloads(&self) -> &Live<HashMap<Arc<str>, Arc<wire::nds::Workload>>> {
        &self.workloads
    }

    /// The clusters whose endpoints are names, for the resolver.
    pub fn dns(&self) -> &Arc<DnsTable> {
        &self.dns
    }

    /// All resources, in apply order, for dumps.
    pub fn held(&self) -> impl Iterator<Item = (Kind, &Arc<str>, &Held)> {
        self.held.iter().map(|((kind, name), held)| (*kind, name, held))
    }

    /// Versions that are refused at present.
    pub fn rejected(&self) -> impl Iterator<Item = &Rejected> {
        self.held.values().filter_map(|held| held.rejected.as_ref())
    }

    /// How many versions were refused since the start.
    pub fn rejected_total(&self) -> u64 {
        self.rejected_total
    }

    /// What the session must subscribe to by name.
    pub fn wanted(&self) -> Wanted {
        Wanted::of(
            &self.parts,
            self.routes.iter().filter(|(_, part)| part.vhds).map(|(name, _)| name.clone()),
        )
    }

    /// Names that are referred to and never came, by kind: what a proxy waits for before it says that it is ready.
    pub fn missing(&self) -> Vec<(Kind, Arc<str>)> {
        let wanted = self.wanted();
        let all = [
            (Kind::Endpoints, wanted.endpoints),
            (Kind::Route, wanted.routes),
            (Kind::Secret, wanted.secrets),
        ];
        let names = all.into_iter().flat_map(|(kind, names)| names.into_iter().map(move |name| (kind, name)));
        names.filter(|key| self.held.get(key).is_none_or(|held| held.good.is_none())).collect()
    }

    /// Applies resources of the session.
    pub fn apply(&mut self, batch: Batch) -> Changed {
        self.apply_from(batch, false)
    }

    /// Applies resources of a file, which no session removes or replaces.
    pub fn apply_fixed(&mut self, batch: Batch) -> Changed {
        self.apply_from(batch, true)
    }

    fn apply_from(&mut self, mut batch: Batch, fixed: bool) -> Changed {
        let mut changed = Changed::default();
        let mut tables = BTreeSet::new();
        let mut relink = false;
        for (kind, name) in batch.removed {
            relink |= self.remove(kind, &name, &mut tables, &mut changed);
        }
        batch.added.sort_by_key(|resource| resource.kind.index());
        for resource in batch.added {
            relink |= self.add(&resource, fixed, &mut tables, &mut changed);
        }
        for name in tables {
            self.join(&name);
            relink = true;
        }
        if relink {
            let config = link(&self.parts, &self.slots, &self.live.load());
            // The old one is dropped here, on the control thread, unless a request still holds it.
            drop(self.live.set(config));
            changed.config = true;
            changed.wanted = true;
        }
        changed
    }

    /// Returns whether the Config must be linked again.
    fn add(
        &mut self,
        resource: &Resource,
        fixed: bool,
        tables: &mut BTreeSet<Arc<str>>,
        changed: &mut Changed,
    ) -> bool {
        let key = (resource.kind, resource.name.clone());
        if let Some(held) = self.held.get_mut(&key) {
            if held.fixed && !fixed {
                tracing::warn!(
                    kind = resource.kind.short(),
                    name = &*resource.name,
                    "the file's resource stays in force"
                );
                return false;
            }
            if let Some((version, bytes)) = &mut held.good
                && *bytes == resource.bytes
            {
                *version = resource.version.clone();
                held.rejected = None;
                return false;
            }
        }
        let part = match lower(resource, &mut self.slots) {
            Ok(part) => part,
            Err(reject) => {
                self.rejected_total += 1;
                tracing::warn!(%reject, "refused");
                let rejected = Rejected {
                    version: resource.version.clone(),
                    bytes: resource.bytes.clone(),
                    at: now(),
                    reject: reject.clone(),
                };
                let held = self.held.entry(key);
                held.or_insert_with(|| Held { good: None, updated: now(), fixed, rejected: None }).rejected =
                    Some(rejected);
                changed.rejects.push(reject);
                return false;
            }
        };
        let good = Some((resource.version.clone(), resource.bytes.clone()));
        self.held.insert(key, Held { good, updated: now(), fixed, rejected: None });
        self.put(resource, part, tables, changed)
    }

    fn put(
        &mut self,
        resource: &Resource,
        part: Part,
        tables: &mut BTreeSet<Arc<str>>,
        changed: &mut Changed,
    ) -> bool {
        let name = resource.name.clone();
        match part {
            Part::Cluster(part) => {
                self.put_cluster(*part);
                return true;
            }
            Part::Endpoints(assignment) => {
                self.assignments.insert(name.clone(), assignment);
                for user in self.users.get(&name).into_iter().flatten() {
                    if let Some(cluster) = self.parts.clusters.get(user) {
                        refresh(cluster, self.assignments.get(&name));
                    }
                }
            }
            Part::Listener(listener) => {
                self.parts.listeners.insert(name, listener);
                changed.listeners = true;
                return true;
            }
            Part::Route(part) => {
                self.slots.route(&name);
                self.routes.insert(name.clone(), *part);
                tables.insert(name);
            }
            Part::VirtualHost(host) => {
                if let Some((table, _)) = name.rsplit_once('/') {
                    tables.insert(table.into());
                }
                self.hosts.insert(name, host);
            }
            Part::Secret(part) => {
                let secret = part.secret.versioned(&resource.version);
                self.secrets.put(SecretSource::Ads(name), secret);
            }
            Part::Names(table) => {
                self.names.set(table);
                changed.names = true;
            }
            Part::Workload(workload) => {
                let mut workloads = (*self.workloads.load()).clone();
                workloads.insert(name, workload);
                self.workloads.set(workloads);
            }
        }
        false
    }

    fn put_cluster(&mut self, part: ClusterPart) {
        let ClusterPart {
            name,
            mut settings,
            limits,
            retry_budget,
            outliers,
            inline,
            connection_key,
            version,
        } = part;
        let old = self.parts.clusters.get(&name).cloned();
        let alike = self.keys.get(&name) == Some(&connection_key);
        if let (Some(old), true) = (&old, alike) {
            keep_tls(&mut settings, &old.settings);
        }
        let id = match &old {
            Some(old) if alike => old.id,
            _ => {
                self.next_id += 1;
                self.next_id
            }
        };
        let endpoints = match &old {
            Some(old) if same_sets(&old.settings, &settings) => old.endpoints.clone(),
            // Indexes and tables of the old sets would be wrong: start a cell of its own, with the same states.
            Some(old) => {
                let assignment = self.assignment_of(&settings.discovery, inline.as_ref());
                let previous = old.endpoints.load();
                let set = assignment.map(|one| endpoint_set(one, &settings, &previous, &Resolved::new()));
                Arc::new(Live::new(set.unwrap_or_default()))
            }
            None => Arc::new(Live::new(EndpointSet::default())),
        };
        let cluster = Arc::new(Cluster {
            id,
            settings,
            endpoints,
            limits: old.as_ref().map(|old| old.limits.clone()).unwrap_or_default(),
            outliers: old.as_ref().map(|old| old.outliers.clone()).unwrap_or_default(),
            version,
            name: name.clone(),
        });
        cluster.limits.adopt(limits, retry_budget);
        cluster.outliers.adopt(outliers);
        if let Some(old) = old {
            self.forget_user(&old);
        }
        if let Discovery::Eds(service) = &cluster.settings.discovery {
            self.users.entry(service.clone()).or_default().insert(name.clone());
        }
        match (&cluster.settings.discovery, &inline) {
            (Discovery::StrictDns | Discovery::LogicalDns, Some(assignment)) => {
                self.dns.put(&cluster, assignment)
            }
            _ => {
                self.dns.remove(&name);
                refresh(&cluster, self.assignment_of(&cluster.settings.discovery, inline.as_ref()));
            }
        }
        // Routes that choose by header, telemetry and admin name clusters that no route mentions.
        self.slots.cluster(&name);
        self.keys.insert(name.clone(), connection_key);
        self.parts.clusters.insert(name, cluster);
    }

    fn assignment_of<'a>(
        &'a self,
        discovery: &Discovery,
        inline: Option<&'a Arc<Assignment>>,
    ) -> Option<&'a Arc<Assignment>> {
        match discovery {
            Discovery::Eds(service) => self.assignments.get(service),
            Discovery::OriginalDst { .. } => None,
            Discovery::Static | Discovery::StrictDns | Discovery::LogicalDns => inline,
        }
    }

    fn forget_user(&mut self, cluster: &Cluster) {
        let Discovery::Eds(service) = &cluster.settings.discovery else { return };
        if let Some(users) = self.users.get_mut(service) {
            users.remove(&cluster.name);
        }
    }

    fn join(&mut self, name: &Arc<str>) {
        let Some(part) = self.routes.get(name) else {
            self.parts.tables.remove(name);
            return;
        };
        let prefix = format!("{name}/");
        let own = self
            .hosts
            .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
            .take_while(|(full, _)| full.starts_with(&prefix));
        let version = part.table.version.clone();
        let table = join(part, own.map(|(_, host)| host), version);
        self.parts.tables.insert(name.clone(), table);
    }

    /// Returns whether the Config must be linked again.
    fn remove(
        &mut self,
        kind: Kind,
        name: &Arc<str>,
        tables: &mut BTreeSet<Arc<str>>,
        changed: &mut Changed,
    ) -> bool {
        let key = (kind, name.clone());
        if self.held.get(&key).is_none_or(|held| held.fixed) {
            return false;
        }
        self.held.remove(&key);
        match kind {
            Kind::Cluster => {
                let Some(old) = self.parts.clusters.remove(name) else { return false };
                self.forget_user(&old);
                self.keys.remove(name);
                self.dns.remove(name);
                self.drop_unused_assignments();
                return true;
            }
            Kind::Listener => {
                changed.listeners = true;
                return self.parts.listeners.remove(name).is_some();
            }
            Kind::Route => {
                self.routes.remove(name);
                tables.insert(name.clone());
            }
            Kind::VirtualHost => {
                self.hosts.remove(name);
                if let Some((table, _)) = name.rsplit_once('/') {
                    tables.insert(table.into());
                }
            }
            Kind::Secret => self.secrets.remove(&SecretSource::Ads(name.clone())),
            Kind::NameTable => {
                self.names.set(NameTable::default());
                changed.names = true;
            }
            Kind::Workload => {
                let mut workloads = (*self.workloads.load()).clone();
                workloads.remove(name);
                self.workloads.set(workloads);
            }
            // Endpoints stay while a cluster uses them; they go with the last of these.
            Kind::Endpoints => self.drop_unused_assignments(),
            Kind::Extension => {}
        }
        false
    }

    fn drop_unused_assignments(&mut self) {
        self.users.retain(|_, users| !users.is_empty());
        let users = &self.users;
        self.assignments.retain(|name, _| users.contains_key(name));
        let assignments = &self.assignments;
        self.held.retain(|(kind, name), _| *kind != Kind::Endpoints || assignments.contains_key(name));
    }
}

/// A time stamp of dumps; nothing is decided by it.
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
