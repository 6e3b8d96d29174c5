//! Starts the webhooks: their socket and what they follow.
//!
//! In: the cluster, the authority, the world. Out: the injection, for debug pages. Called once by `app`, before `/ready`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use base::Live;
use base::drain::Watch;
use base::metrics::Metrics;
use base::ready::Ready;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use tokio::net::TcpListener;

use super::bundle::Bundles;
use super::rejected::Trial;
use super::settings::Settings;
use super::state::Injection;
use super::stats::{Stats, Validations};
use super::{follow, server};
use crate::authority::Authority;
use crate::cluster::Cluster;
use crate::world::World;

/// What the webhooks need of the rest.
pub(crate) struct Parts<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) authority: &'a Authority,
    pub(crate) world: Arc<Live<World>>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) ready: &'a Ready,
    pub(crate) drain: &'a Watch,
}

/// Opens the socket and follows what is needed; nothing is answered with old knowledge, since readiness waits.
pub(crate) async fn start(settings: &Settings, parts: Parts<'_>) -> Result<Option<Injection>> {
    let listener = TcpListener::bind(settings.https)
        .await
        .with_context(|| format!("--httpsAddr {} cannot be listened on", settings.https))?;
    let (cluster, drain) = (parts.cluster.clone(), parts.drain);
    let injection = settings.inject.then(|| {
        let stats = Stats::new(parts.metrics);
        Injection::new(settings.clone(), cluster.namespace.clone(), parts.world, stats)
    });
    if let Some(injection) = &injection {
        let listed = parts.ready.block("injector settings");
        let environment: BTreeMap<String, String> = std::env::vars().collect();
        let into = injection.injector.clone();
        let done = move || listed.clear();
        let name = injection.config_map();
        let work = follow::settings(cluster.clone(), name, environment, into, done, drain.clone());
        base::task::spawn("injector settings", work);
        let bundles = Bundles::new::<MutatingWebhookConfiguration>(
            cluster.client.clone(),
            "sidecar-injector.istio.io",
            &settings.revision,
            None,
        );
        // Pods that come right after the control plane would be refused otherwise.
        let trusted = parts.ready.block("webhook configurations");
        let work = bundles.keep(parts.authority.roots(), move || trusted.clear(), drain.clone());
        base::task::spawn("injection bundles", work);
    }
    let trial = Trial::new(cluster.client.clone(), &cluster.namespace, &settings.revision);
    let bundles = Bundles::new::<ValidatingWebhookConfiguration>(
        cluster.client.clone(),
        "validation.istio.io",
        &settings.revision,
        Some(trial),
    );
    base::task::spawn("validation bundles", bundles.keep(parts.authority.roots(), || {}, drain.clone()));
    let tls = parts.authority.clone();
    let routes = Arc::new(server::routes(injection.clone(), &Validations::new(parts.metrics)));
    base::task::spawn("webhooks", server::serve(listener, routes, move || tls.acceptor(), drain.clone()));
    Ok(injection)
}
