//! Which resources are referred to by name, so that the session subscribes to exactly those.
//!
//! In: the parts in force. Out: names by kind. Asked by the session after every change, and by readiness for what is
//! still missing.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::compile::Parts;
use crate::config::{App, Chain, Discovery, RouteSource};
use crate::tls::{SecretSource, Validation};

/// Names by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Load assignments of EDS clusters.
    pub endpoints: BTreeSet<Arc<str>>,
    /// Route configurations of HTTP chains.
    pub routes: BTreeSet<Arc<str>>,
    /// Route configurations that have more virtual hosts to come.
    pub virtual_hosts_of: BTreeSet<Arc<str>>,
    /// Secrets over ADS.
    pub secrets: BTreeSet<Arc<str>>,
}

impl Wanted {
    pub(super) fn of(parts: &Parts, vhds: impl Iterator<Item = Arc<str>>) -> Self {
        let mut wanted = Wanted { virtual_hosts_of: vhds.collect(), ..Default::default() };
        for cluster in parts.clusters.values() {
            let settings = &cluster.settings;
            if let Discovery::Eds(service) = &settings.discovery {
                wanted.endpoints.insert(service.clone());
            }
            let sockets = settings.tls_matches.iter().map(|one| &one.tls).chain([&settings.tls]);
            for tls in sockets.flatten() {
                wanted.secrets(&tls.certificates, tls.validation.as_ref());
            }
        }
        for listener in parts.listeners.values() {
            for chain in listener.chains.iter().chain(&listener.default_chain) {
                wanted.chain(chain);
            }
        }
        wanted
    }

    fn chain(&mut self, chain: &Chain) {
        if let Some(tls) = &chain.tls {
            self.secrets(&tls.certificates, tls.validation.as_ref());
        }
        if let App::Http(http) = &chain.app
            && matches!(http.routes, RouteSource::Named(_))
        {
            self.routes.insert(http.route_name.clone());
        }
    }

    fn secrets(&mut self, certificates: &[SecretSource], validation: Option<&Validation>) {
        let roots = validation.and_then(|validation| validation.roots.as_ref());
        for source in certificates.iter().chain(roots) {
            if let SecretSource::Ads(name) = source {
                self.secrets.insert(name.clone());
            }
        }
    }
}
