//! The embedded certificate authority, and pilot's own certificate, signed by it and renewed in time.
//!
//! In: settings, the cluster. Out: the door of the CA for `push`, the TLS acceptor of the moment, the roots to trust.
//! Where the key is kept is decided here: a folder, the user's own files (`cacerts`), or a Secret. Everything that decides
//! about certificates is `citadel`'s.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, bail};
use base::drain::Watch;
use base::metrics::Metrics;
use base::{Live, Reader};
use citadel::app::Files;
use citadel::tls::{Made, Names};
use citadel::{Citadel, Peer};
use clap::Parser;
use http::{Request, Response};
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;

use crate::cluster::{Cluster, KeySecret, Upkeep};
use crate::push::Ca;
use crate::settings::Settings;

/// citadel inside of pilot.
#[derive(Clone)]
pub(crate) struct Authority {
    citadel: Arc<Citadel>,
    server: Live<Arc<ServerConfig>>,
}

impl Authority {
    /// Opens or makes the CA where it is kept, signs pilot's certificate, and starts what keeps both fresh.
    ///
    /// # Errors
    /// There is no place for a key, or what is there cannot sign.
    pub(crate) async fn open(
        settings: &Settings,
        cluster: Option<&Cluster>,
        metrics: &Metrics,
        drain: &Watch,
    ) -> Result<Self> {
        let citadel = signer(settings, cluster, metrics, drain).await?;
        let names = Names { dns: settings.names.clone(), identity: None };
        let (authority, now) = (citadel.authority.load(), citadel.clock.now());
        let Made { config, renew_at } =
            citadel::tls::server_config(&authority, &names, citadel.lifetimes.default, now)
                .map_err(anyhow::Error::msg)?;
        let server = Live::new(config);
        let keep = citadel::tls::keep(citadel.clone(), names, renew_at, server.clone(), drain.clone());
        base::task::spawn("own certificate", keep);
        Ok(Self { citadel, server })
    }

    /// For the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from((*self.server.load()).clone())
    }

    /// What signs and whom to trust, now and after every change: `roots()` of what is read are the roots in PEM.
    pub(crate) fn roots(&self) -> Reader<citadel::Authority> {
        self.citadel.authority.reader()
    }
}

/// The CA: of the folder that was given, else of the user's own files, else of the cluster's Secret.
async fn signer(
    settings: &Settings,
    cluster: Option<&Cluster>,
    metrics: &Metrics,
    drain: &Watch,
) -> Result<Arc<Citadel>> {
    if settings.ca_dir.is_some() {
        let (citadel, files) = citadel::app::build(&embedded(settings), metrics)?;
        watch(&citadel, files, drain);
        return Ok(citadel);
    }
    let (inner, dir) = (embedded(settings), &settings.root_ca_dir);
    let own = citadel::ca::load(dir).map_err(anyhow::Error::msg)?;
    let plugged = own.is_some();
    let (authority, secret) = match (own, cluster) {
        (Some(authority), _) => {
            tracing::info!(dir = %dir.display(), "certificate authority of your own");
            (authority, None)
        }
        (None, Some(cluster)) => {
            let secret = KeySecret::new(cluster, upkeep(settings, &inner)?);
            (secret.obtain(SystemTime::now()).await?, Some(secret))
        }
        (None, None) => bail!(
            "there is no place for the key of the certificate authority: give --ca-dir DIR, or put ca-key.pem, \
             ca-cert.pem, root-cert.pem and cert-chain.pem into {} (ROOT_CA_DIR)",
            dir.display()
        ),
    };
    let (citadel, jwks) = citadel::app::assemble(authority, &inner, metrics, Vec::new())?;
    // A key that appears in the folder later is taken at the next start, as with Istio: it is another authority.
    watch(&citadel, Files { ca_dir: plugged.then(|| dir.clone()), jwks, policy: None }, drain);
    if let Some(secret) = secret {
        base::task::spawn("CA secret", secret.keep(citadel.clone(), drain.clone()));
    }
    Ok(citadel)
}

fn watch(citadel: &Arc<Citadel>, files: Files, drain: &Watch) {
    base::task::spawn("CA files", citadel::app::watch_files(citadel.clone(), files, drain.clone()));
}

/// How the root of our own is kept. Roots in the folder of the user's own files are trusted beside it.
fn upkeep(settings: &Settings, inner: &citadel::settings::Settings) -> Result<Upkeep> {
    let also = citadel::ca::read(&settings.root_ca_dir, "root-cert.pem").map_err(anyhow::Error::msg)?;
    Ok(Upkeep {
        secret: "istio-ca-secret",
        policy: citadel::app::root_policy(inner),
        also: also.unwrap_or_default(),
        grace: f64::from(settings.root_grace) / 100.0,
        every: settings.root_check_interval,
    })
}

/// citadel's settings: its defaults and environment, with what pilot was told on its command line.
fn embedded(settings: &Settings) -> citadel::settings::Settings {
    let folder = settings.ca_dir.as_ref().unwrap_or(&settings.root_ca_dir);
    let mut arguments = vec!["citadel".into(), "--ca-dir".into(), folder.clone().into_os_string()];
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
