//! Work that one replica does for all: elected by a Lease in the root namespace, under Istio's names of locks.
//!
//! In: a lock's name and work. Out: the work runs while this replica leads, and nowhere else meanwhile; it is dropped at
//! once when the lock is lost or cannot be renewed. At the drain the work ends first, then the lock is released, so that
//! another replica goes on within seconds. Who may lead is decided by `claim`. Called by `citizen`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::clock::Clock;
use base::drain::Watch;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;

use super::access::{CONFLICT, Cluster, is};
use super::claim::{Candidate, Claim, DEADLINE, LEASE, LOOK, Step};

/// Label of the Lease: the leader's revision.
const REVISION: &str = "istio.io/rev";

/// Who takes part.
#[derive(Clone)]
pub(super) struct Voter {
    pub(super) cluster: Cluster,
    /// Name of this replica.
    pub(super) name: String,
    pub(super) revision: String,
    /// The revision that the tag `default` means, if there is one.
    pub(super) default: watch::Receiver<Option<String>>,
    /// False where there is one replica only: it always leads.
    pub(super) elects: bool,
    pub(super) clock: Arc<dyn Clock>,
}

/// One lock.
struct Election {
    leases: Api<Lease>,
    lock: &'static str,
    candidate: Candidate,
    voter: Voter,
}

/// What an attempt has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Leads,
    Follows,
    /// The API server was not reached, or somebody was quicker.
    Unknown,
}

impl Voter {
    /// Does `work` while this replica holds `lock`, until the drain.
    pub(super) async fn lead<F>(self, lock: &'static str, mut drain: Watch, work: impl Fn() -> F)
    where
        F: Future<Output = ()>,
    {
        if !self.elects {
            tokio::select! { () = work() => {} () = drain.graceful() => {} }
            return;
        }
        let leases = Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace);
        let candidate = Candidate::new(self.name.clone(), self.revision.clone());
        let mut election = Election { leases, lock, candidate, voter: self };
        loop {
            tokio::select! { () = election.acquire() => {} () = drain.graceful() => return }
            tracing::info!(lock, "leading");
            let lost = {
                let work = work();
                tokio::pin!(work);
                tokio::select! {
                    () = drain.graceful() => false,
                    () = election.hold() => true,
                    () = work => false,
                }
            };
            if !lost {
                election.release().await;
                return;
            }
            tracing::warn!(lock, "leading no more");
        }
    }
}

impl Election {
    /// Until it leads.
    async fn acquire(&mut self) {
        while self.attempt().await != Standing::Leads {
            self.voter.clock.sleep(LOOK).await;
        }
    }

    /// Until it leads no more.
    async fn hold(&mut self) {
        let mut renewed = self.voter.clock.since_start();
        loop {
            self.voter.clock.sleep(LOOK).await;
            let before = self.voter.clock.since_start();
            match self.attempt().await {
                Standing::Leads => renewed = before,
                Standing::Follows => return,
                Standing::Unknown if self.voter.clock.since_start() - renewed >= DEADLINE => return,
                Standing::Unknown => {}
            }
        }
    }

    /// One look, and what follows from it. An API server that does not answer does not stop the clock.
    async fn attempt(&mut self) -> Standing {
        let clock = self.voter.clock.clone();
        let outcome = tokio::select! {
            outcome = self.look() => outcome,
            () = clock.sleep(DEADLINE / 3) => return Standing::Unknown,
        };
        match outcome {
            Ok(standing) => standing,
            Err(error) if is(&error, CONFLICT) => Standing::Unknown,
            Err(error) => {
                tracing::debug!(lock = self.lock, %error, "the lock cannot be looked at");
                Standing::Unknown
            }
        }
    }

    async fn look(&mut self) -> Result<Standing, kube::Error> {
        let found = self.leases.get_opt(self.lock).await?;
        let now = self.voter.clock.since_start();
        let default = self.voter.default.borrow().clone();
        let step = self.candidate.step(found.as_ref().map(read).as_ref(), default.as_deref(), now);
        let params = PostParams::default();
        match (step, found) {
            (Step::Wait, _) => return Ok(Standing::Follows),
            (_, None) => drop(self.leases.create(&params, &self.written(Lease::default(), true)).await?),
            // With the version that was read: of several replicas one succeeds.
            (step, Some(found)) => {
                let lease = self.written(found, step != Step::Renew);
                self.leases.replace(self.lock, &params, &lease).await?;
            }
        }
        Ok(Standing::Leads)
    }

    /// The Lease as ours; `new` if it was not.
    fn written(&self, mut lease: Lease, new: bool) -> Lease {
        let now = Timestamp::try_from(self.voter.clock.now()).map(MicroTime).ok();
        let spec = lease.spec.get_or_insert_default();
        if new {
            let before = lease.metadata.resource_version.is_some();
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + i32::from(before));
            spec.acquire_time = now.clone();
        }
        spec.holder_identity = Some(self.candidate.holder.clone());
        spec.lease_duration_seconds = i32::try_from(LEASE.as_secs()).ok();
        spec.renew_time = now;
        lease.metadata.name = Some(self.lock.to_owned());
        let labels = lease.metadata.labels.get_or_insert_default();
        labels.insert(REVISION.to_owned(), self.candidate.revision.clone());
        lease
    }

    /// Lets another replica lead at once. A failure costs the time that the claim still holds.
    async fn release(&self) {
        let release = async {
            let Some(mut lease) = self.leases.get_opt(self.lock).await? else { return Ok(()) };
            if read(&lease).holder != self.candidate.holder {
                return Ok(());
            }
            let spec = lease.spec.get_or_insert_default();
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            self.leases.replace(self.lock, &PostParams::default(), &lease).await.map(drop)
        };
        match tokio::time::timeout(DEADLINE / 3, release).await {
            Ok(Ok(())) => tracing::info!(lock = self.lock, "released"),
            Ok(Err(error)) => tracing::info!(lock = self.lock, %error, "the lock could not be released"),
            Err(_) => tracing::info!(lock = self.lock, "the lock could not be released in time"),
        }
    }
}

/// What a Lease says.
fn read(lease: &Lease) -> Claim {
    let spec: LeaseSpec = lease.spec.clone().unwrap_or_default();
    let ObjectMeta { labels, resource_version, .. } = &lease.metadata;
    let revision = labels.as_ref().and_then(|labels: &BTreeMap<String, String>| labels.get(REVISION));
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Claim {
        holder: spec.holder_identity.unwrap_or_default(),
        revision: revision.cloned().unwrap_or_default(),
        version: resource_version.clone().unwrap_or_default(),
        duration: seconds.map_or(LEASE, Duration::from_secs),
    }
}
