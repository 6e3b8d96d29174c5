//! The embedded certificate authority, and pilot's own certificate, signed by it and renewed in time.
//!
//! In: settings. Out: the door of the CA for `push`, and the TLS acceptor of the moment. Everything that decides about
//! certificates is `citadel`'s; this is the place where it is built in.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use base::Live;
use base::drain::Watch;
use base::metrics::Metrics;
use citadel::app::Files;
use citadel::tls::{Made, Names};
use citadel::{Citadel, Peer};
use clap::Parser;
use http::{Request, Response};
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;

use crate::push::Ca;
use crate::settings::Settings;

/// citadel inside of pilot.
#[derive(Clone)]
pub(crate) struct Authority {
    citadel: Arc<Citadel>,
    server: Live<Arc<ServerConfig>>,
}

impl Authority {
    /// Opens or makes the CA in its folder, signs pilot's certificate, and starts what keeps both fresh.
    pub(crate) fn open(settings: &Settings, metrics: &Metrics, drain: &Watch) -> Result<Self> {
        let (citadel, files) = citadel::app::build(&embedded(settings), metrics)?;
        let names = Names { dns: settings.names.clone(), identity: None };
        let (authority, now) = (citadel.authority.load(), citadel.clock.now());
        let Made { config, renew_at } =
            citadel::tls::server_config(&authority, &names, citadel.lifetimes.default, now)
                .map_err(anyhow::Error::msg)?;
        let server = Live::new(config);
        let keep = citadel::tls::keep(citadel.clone(), names, renew_at, server.clone(), drain.clone());
        base::task::spawn("own certificate", keep);
        watch(&citadel, files, drain);
        Ok(Self { citadel, server })
    }

    /// For the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from((*self.server.load()).clone())
    }
}

fn watch(citadel: &Arc<Citadel>, files: Files, drain: &Watch) {
    base::task::spawn("CA files", citadel::app::watch_files(citadel.clone(), files, drain.clone()));
}

/// citadel's settings: its defaults and environment, with what pilot was told on its command line.
fn embedded(settings: &Settings) -> citadel::settings::Settings {
    let mut arguments = vec!["citadel".into(), "--ca-dir".into(), settings.ca_dir.clone().into_os_string()];
    if let Some(jwks) = &settings.jwks {
        arguments.extend(["--jwks".into(), jwks.clone().into_os_string()]);
    }
    let mut inner = citadel::settings::Settings::parse_from(arguments);
    inner.trust_domain = settings.trust_domain.clone();
    inner.max_ttl = settings.max_certificate_ttl;
    inner.default_ttl = inner.default_ttl.min(inner.max_ttl);
    inner
}

impl Ca for Authority {
    fn call(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        let citadel = self.citadel.clone();
        request.extensions_mut().insert(peer);
        Box::pin(async move { citadel.answer(request).await })
    }
}
