//! What pilot does in its cluster besides serving: starts it, once objects are known.
//!
//! In: the cluster, settings, the authority, the World. Out: tasks that end with the drain. What only one replica may do
//! is done under a lock, each with Istio's name, so that no two write the same. Called by `app`.

use std::sync::Arc;

use api::Findings;
use base::Live;
use base::clock::Real;
use base::drain::Watch;
use tokio::sync::watch;

use super::election::Voter;
use super::{Cluster, analysis, default_revision, roots};
use crate::settings::Settings;
use crate::world::World;

/// Lock of who writes the roots into namespaces.
const NAMESPACES: &str = "istio-namespace-controller-election";

/// Lock of who writes what was found into the statuses of objects.
const ANALYSIS: &str = "istio-analyze-leader";

/// What the work needs of the rest.
pub(crate) struct Parts<'a> {
    pub(crate) cluster: &'a Cluster,
    /// What signs, and whose roots are to be trusted.
    pub(crate) authority: Live<citadel::Authority>,
    pub(crate) world: Arc<Live<World>>,
    /// What is wrong with it.
    pub(crate) findings: Arc<Live<Findings>>,
    pub(crate) drain: &'a Watch,
}

/// Starts everything.
pub(crate) fn start(settings: &Settings, parts: Parts<'_>) {
    let Parts { cluster, authority, world, findings, drain } = parts;
    let (into, default) = watch::channel(None);
    let tag = default_revision::follow(cluster.clone(), into, drain.clone());
    base::task::spawn("default revision", tag);
    let voter = Voter {
        cluster: cluster.clone(),
        name: settings.pod_name.clone(),
        revision: settings.webhook.revision.clone(),
        default,
        elects: settings.elects,
        clock: Real::shared(),
    };
    if settings.analysis {
        let (cluster, world, interval) = (cluster.clone(), world.clone(), settings.analysis_interval);
        let work = move || analysis::keep(cluster.clone(), world.clone(), findings.clone(), interval);
        base::task::spawn("analysis", voter.clone().lead(ANALYSIS, drain.clone(), work));
    }
    let (cluster, name) = (cluster.clone(), settings.roots_config_map.clone());
    let work = move || roots::keep(cluster.clone(), name.clone(), world.clone(), authority.clone());
    base::task::spawn("roots in namespaces", voter.lead(NAMESPACES, drain.clone(), work));
}
