//! The embedded certificate authority, and pilot's own certificate, signed by it and renewed in time.
//!
//! In: settings, the cluster. Out: the door of the CA for `push`, the TLS acceptor of the moment, the roots to trust.
//! Where the key is kept is decided here: a folder, the user's own files (`cacerts`), or a Secret. Everything that decides
//! about certificates is `citadel`'s.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use base::clock::Real;
use base::drain::Watch;
use base::metrics::Metrics;
use base::{Live, Reader};
use citadel::app::Files;
use citadel::attest::{Attestor, Caller, Recent, Trust};
use citadel::ca::{RootPolicy, load_or_create};
use citadel::tls::{Made, Names};
use citadel::{Citadel, Peer};
use clap::Parser;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic::body::Body;
use wire::{SpiffeId, TrustDomain};

use crate::cluster::{Cluster, KeySecret, MADE_HERE, TokenReviewer, Upkeep};
use crate::model::mesh::Mesh;
use crate::push::Ca;
use crate::settings::Settings;

/// How long a token that was good counts as good without asking again.
const TOKEN_FRESH: Duration = Duration::from_secs(10);

/// citadel inside of pilot.
#[derive(Clone)]
pub(crate) struct Authority {
    citadel: Arc<Citadel>,
    trust: Live<Trust>,
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
        let inner = embedded(settings);
        let trust = citadel::app::trust(&inner)?;
        let more = attestors(settings, &inner, cluster, &trust);
        let source = source(settings, &inner, cluster).await?;
        let (citadel, jwks) = citadel::app::assemble(source.authority, &inner, metrics, trust.clone(), more)?;
        let files = Files { ca_dir: source.folder, jwks, policy: source.policy };
        base::task::spawn("CA files", citadel::app::watch_files(citadel.clone(), files, drain.clone()));
        if let Some(secret) = source.secret {
            base::task::spawn("CA secret", secret.keep(citadel.clone(), drain.clone()));
        }
        let names = Names { dns: settings.dns_names(), identity: None };
        let (authority, now) = (citadel.authority.load(), citadel.clock.now());
        let Made { config, renew_at } =
            citadel::tls::server_config(&authority, &names, citadel.lifetimes.default, now)
                .map_err(anyhow::Error::msg)?;
        let server = Live::new(config);
        let keep = citadel::tls::keep(citadel.clone(), names, renew_at, server.clone(), drain.clone());
        base::task::spawn("own certificate", keep);
        Ok(Self { citadel, trust, server })
    }

    /// Whose identities count from now on: the mesh settings say it.
    pub(crate) fn trust(&self, mesh: &Mesh) {
        let domain = |text: &String| {
            TrustDomain::new(text)
                .inspect_err(|error| tracing::warn!(%error, "a trust domain of the mesh settings is none"))
                .ok()
        };
        let Some(own) = domain(&mesh.trust_domain) else { return };
        let trust = Trust { own, aliases: mesh.trust_aliases.iter().filter_map(domain).collect() };
        if *self.trust.load() != trust {
            tracing::info!(own = %trust.own, aliases = trust.aliases.len(), "trust domain");
            self.trust.set(trust);
        }
    }

    /// For the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from((*self.server.load()).clone())
    }

    /// What signs and whom to trust, now and after every change: `roots()` of what is read are the roots in PEM.
    pub(crate) fn roots(&self) -> Reader<citadel::Authority> {
        self.live().reader()
    }

    /// The cell that it is read from.
    pub(crate) fn live(&self) -> Live<citadel::Authority> {
        self.citadel.authority.clone()
    }
}

/// Where the key is kept.
struct Source {
    authority: citadel::Authority,
    /// A folder to look at again.
    folder: Option<PathBuf>,
    /// For a root of our own in the folder.
    policy: Option<RootPolicy>,
    /// A Secret to look at again.
    secret: Option<KeySecret>,
}

/// The folder that was given, else the user's own files, else the cluster's Secret.
async fn source(
    settings: &Settings,
    inner: &citadel::settings::Settings,
    cluster: Option<&Cluster>,
) -> Result<Source> {
    let text = anyhow::Error::msg::<String>;
    if let Some(dir) = &settings.ca_dir {
        let policy = citadel::app::root_policy(inner);
        let (authority, found) = load_or_create(dir, &policy, SystemTime::now()).map_err(text)?;
        tracing::info!(dir = %dir.display(), ?found, "certificate authority ready");
        return Ok(Source { authority, folder: Some(dir.clone()), policy: Some(policy), secret: None });
    }
    let dir = &settings.root_ca_dir;
    // What was made here and is mounted from cacerts is kept in its Secret.
    let made_here = settings.use_cacerts && cluster.is_some() && dir.join(MADE_HERE).exists();
    // A key that appears there later is taken at the next start, as with Istio: it is another authority.
    let own = if made_here { None } else { citadel::ca::load(dir).map_err(text)? };
    if let Some(authority) = own {
        tracing::info!(dir = %dir.display(), "certificate authority of your own");
        return Ok(Source { authority, folder: Some(dir.clone()), policy: None, secret: None });
    }
    let Some(cluster) = cluster else {
        bail!(
            "there is no place for the key of the certificate authority: give --ca-dir DIR, or put ca-key.pem, \
             ca-cert.pem, root-cert.pem and cert-chain.pem into {} (ROOT_CA_DIR)",
            dir.display()
        )
    };
    let mut secret = KeySecret::new(cluster, upkeep(settings, inner)?);
    let authority = secret.obtain(SystemTime::now()).await?;
    Ok(Source { authority, folder: None, policy: None, secret: Some(secret) })
}

/// In a cluster its API server says whose a token is.
fn attestors(
    settings: &Settings,
    inner: &citadel::settings::Settings,
    cluster: Option<&Cluster>,
    trust: &Live<Trust>,
) -> Vec<Box<dyn Attestor>> {
    let Some(cluster) = cluster else { return Vec::new() };
    let reviewer = TokenReviewer::new(cluster, &settings.cluster_id, inner.audiences.clone(), trust.clone());
    vec![Box::new(Recent::new(Box::new(reviewer), TOKEN_FRESH, Real::shared()))]
}

/// How the root of our own is kept. Roots in the folder of the user's own files are trusted beside it.
fn upkeep(settings: &Settings, inner: &citadel::settings::Settings) -> Result<Upkeep> {
    let also = citadel::ca::read(&settings.root_ca_dir, "root-cert.pem").map_err(anyhow::Error::msg)?;
    Ok(Upkeep {
        in_cacerts: settings.use_cacerts,
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
    if !settings.audience.is_empty() && !inner.audiences.contains(&settings.audience) {
        inner.audiences.push(settings.audience.clone());
    }
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

    fn identify(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Pin<Box<dyn Future<Output = Result<SpiffeId, Status>> + Send>> {
        let text = |key: &str| headers.get(key).and_then(|value| value.to_str().ok());
        let (citadel, caller) = (self.citadel.clone(), Caller::of(text, peer));
        Box::pin(async move { Ok(citadel.identify("xDS", &caller).await?) })
    }
}
