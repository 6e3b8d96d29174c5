//! Puts the parts of the binary together, and the parts that an embedding program shares.
//!
//! In: [`Settings`] and a listener. Out: a running CA until its drain. Wiring only: the decisions are in
//! [`crate::issue`]. [`watch_files`] is used by pilot, too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use base::Live;
use base::admin::{self, Response, Routes};
use base::clock::{Clock, Real};
use base::drain::Watch;
use base::metrics::{CONTENT_TYPE, Metrics};
use base::task;
use http::StatusCode;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use wire::TrustDomain;

use crate::attest::{Attestor, TokenAttestor, Trust, X509Attestor};
use crate::ca::{
    Action, Authority, Lifetimes, RootPolicy, Rules, Slots, load, load_or_create, next_action, renew_root,
};
use crate::jwt::Keys;
use crate::serve::{Citadel, Counts, Peer};
use crate::settings::Settings;
use crate::tls::{self, Names};

/// How often files are looked at. Mounted secrets change by renaming links, which notifications often miss.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Part of a root's life in which it is renewed; Istio's `CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE`, 20.
pub const DEFAULT_GRACE: f64 = 0.2;

/// The JWKS file and the keys read from it.
pub type KeyFile = (PathBuf, Live<Keys>);

/// What changes on disk while running.
pub struct Files {
    /// The CA's directory; none if the CA is kept elsewhere.
    pub ca_dir: Option<PathBuf>,
    /// The JWKS file and the keys read from it.
    pub jwks: Option<KeyFile>,
    /// For a root of our own, which is renewed; none for somebody else's.
    pub policy: Option<RootPolicy>,
}

/// A citadel from its settings, and the files to watch for it.
pub fn build(settings: &Settings, metrics: &Metrics) -> anyhow::Result<(Arc<Citadel>, Files)> {
    let policy = root_policy(settings);
    let (authority, found) =
        load_or_create(&settings.ca_dir, &policy, SystemTime::now()).map_err(anyhow::Error::msg)?;
    tracing::info!(dir = %settings.ca_dir.display(), ?found, "certificate authority ready");
    let (citadel, jwks) = assemble(authority, settings, metrics, trust(settings)?, Vec::new())?;
    Ok((citadel, Files { ca_dir: Some(settings.ca_dir.clone()), jwks, policy: Some(policy) }))
}

/// How a root of our own is made with these settings.
pub fn root_policy(settings: &Settings) -> RootPolicy {
    RootPolicy { organization: settings.trust_domain.clone(), ttl: settings.root_ttl }
}

/// Whose identities count with these settings.
pub fn trust(settings: &Settings) -> anyhow::Result<Live<Trust>> {
    let parse = |text: &String| TrustDomain::new(text).with_context(|| format!("--trust-domain {text}"));
    let aliases = settings.trust_domain_aliases.iter().map(parse).collect::<anyhow::Result<_>>()?;
    Ok(Live::new(Trust { own: parse(&settings.trust_domain)?, aliases }))
}

/// A citadel that signs with `authority`, wherever that came from; `more` attestors are asked after those of the
/// settings.
pub fn assemble(
    authority: Authority,
    settings: &Settings,
    metrics: &Metrics,
    trust: Live<Trust>,
    more: Vec<Box<dyn Attestor>>,
) -> anyhow::Result<(Arc<Citadel>, Option<KeyFile>)> {
    let clock: Arc<dyn Clock> = Real::shared();
    let authority = Live::new(authority);
    let by_certificate =
        X509Attestor { authority: authority.clone(), trust: trust.clone(), clock: clock.clone() };
    let mut attestors: Vec<Box<dyn Attestor>> = vec![Box::new(by_certificate)];
    let mut jwks = None;
    if let Some(path) = &settings.jwks {
        let keys = Live::new(read_keys(path).map_err(anyhow::Error::msg)?);
        jwks = Some((path.clone(), keys.clone()));
        let audiences = settings.audiences.clone();
        attestors.push(Box::new(TokenAttestor { keys, audiences, trust, clock: clock.clone() }));
    }
    attestors.extend(more);
    let mut citadel = Citadel::new(authority, attestors, clock);
    citadel.lifetimes = Lifetimes { default: settings.default_ttl, max: settings.max_ttl };
    citadel.counts = Counts::register(metrics);
    Ok((Arc::new(citadel), jwks))
}

/// Serves until the drain: gRPC over TLS on `listener`, readiness and metrics on `monitoring`.
pub async fn run(
    settings: &Settings,
    listener: TcpListener,
    monitoring: Option<TcpListener>,
    drain: Watch,
) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let (citadel, files) = build(settings, &metrics)?;
    let names = Names { dns: settings.dns_names.clone(), identity: None };
    let made =
        tls::server_config(&citadel.authority.load(), &names, settings.default_ttl, citadel.clock.now())
            .map_err(anyhow::Error::msg)?;
    let live = Live::new(made.config);
    task::spawn("citadel-tls", tls::keep(citadel.clone(), names, made.renew_at, live.clone(), drain.clone()));
    task::spawn("citadel-files", watch_files(citadel.clone(), files, drain.clone()));
    if let Some(listener) = monitoring {
        let routes = Arc::new(routes(metrics));
        task::spawn("citadel-monitoring", admin::serve(listener, routes, drain.clone()));
    }
    tracing::info!(address = %listener.local_addr()?, "serving certificates");
    accept(listener, citadel, live, drain).await;
    Ok(())
}

fn routes(metrics: Metrics) -> Routes {
    Routes::new().get("/ready", "readiness", async |_| Response::text("ok\n")).get(
        "/metrics",
        "Prometheus metrics",
        move |_| {
            let text = metrics.render();
            async move { Response::new(StatusCode::OK, CONTENT_TYPE, text) }
        },
    )
}

async fn accept(
    listener: TcpListener,
    citadel: Arc<Citadel>,
    live: Live<Arc<ServerConfig>>,
    mut drain: Watch,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let acceptor = TlsAcceptor::from((*live.load()).clone());
                    let work = connection(stream, acceptor, citadel.clone(), drain.clone());
                    task::spawn("citadel-connection", work);
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = drain.graceful() => return,
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, citadel: Arc<Citadel>, mut drain: Watch) {
    let address = stream.peer_addr().ok();
    let handshake = tokio::time::timeout(Duration::from_secs(10), acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, ?address, "handshake failed"),
        Err(_) => return tracing::debug!(?address, "handshake took too long"),
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    let peer = Peer { certificates: certificates.into(), address };
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let citadel = citadel.clone();
        request.extensions_mut().insert(peer.clone());
        async move { Ok::<_, std::convert::Infallible>(citadel.answer(request).await) }
    });
    let connection = wire::transport::http2().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.graceful() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! { ended = connection.as_mut() => ended, () = drain.immediate() => Ok(()) }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, ?address, "connection ended");
    }
}

/// Takes over what changes on disk, and renews a root of our own in the last fifth of its life. A file that does not
/// parse is reported, the last good content stays.
pub async fn watch_files(citadel: Arc<Citadel>, files: Files, mut drain: Watch) {
    let mut seen = stamp(&files);
    loop {
        tokio::select! {
            () = citadel.clock.sleep(LOOK_EVERY) => {}
            () = drain.graceful() => return,
        }
        let now = stamp(&files);
        if now != seen {
            seen = now;
            reload(&citadel, &files);
        }
        renew_if_due(&citadel, &files);
    }
}

fn renew_if_due(citadel: &Citadel, files: &Files) {
    let (Some(dir), Some(policy)) = (&files.ca_dir, &files.policy) else { return };
    let now = citadel.clock.now();
    if !is_due(&citadel.authority.load(), DEFAULT_GRACE, now) {
        return;
    }
    match renew_root(dir, policy, now) {
        Ok(renewed) => {
            tracing::info!("root certificate renewed with the same key");
            citadel.authority.set(renewed);
        }
        Err(reason) => tracing::error!(reason, "root certificate could not be renewed"),
    }
}

/// Whether a root of our own is in the last part (`grace`, 0 to 1) of its life and must be renewed.
pub fn is_due(authority: &Authority, grace: f64, now: SystemTime) -> bool {
    // The key stays, so whoever trusts the old root trusts the new one: nothing to spread, nothing to retire.
    let rules = Rules { grace, spread: Duration::ZERO, leaf: Duration::ZERO };
    let slots = Slots { current: authority.life(), next: None, old: None };
    authority.is_self_signed() && next_action(&slots, &rules, now) == Action::Prepare
}

fn reload(citadel: &Citadel, files: &Files) {
    if let Some(dir) = &files.ca_dir {
        match load(dir) {
            Ok(Some(authority)) => take(citadel, authority),
            Ok(None) => {
                tracing::error!(dir = %dir.display(), "the CA's key is gone; the last one stays")
            }
            Err(reason) => tracing::error!(reason, "the CA's files are wrong; the last good ones stay"),
        }
    }
    if let Some((path, keys)) = &files.jwks {
        match read_keys(path) {
            Ok(read) => drop(keys.set(read)),
            Err(reason) => tracing::error!(reason, "the JWKS is wrong; the last good one stays"),
        }
    }
}

/// Signs with another authority from now on, if it is another.
pub fn take(citadel: &Citadel, authority: Authority) {
    if authority != *citadel.authority.load() {
        tracing::info!("certificate authority reloaded");
        citadel.authority.set(authority);
    }
}

fn read_keys(path: &Path) -> Result<Keys, String> {
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    Keys::from_jwks(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Changes when a watched file does.
fn stamp(files: &Files) -> Vec<Option<SystemTime>> {
    let names =
        ["ca-key.pem", "ca-cert.pem", "cert-chain.pem", "root-cert.pem", "tls.key", "tls.crt", "ca.crt"];
    let paths = files.ca_dir.iter().flat_map(|dir| names.iter().map(|name| dir.join(name)));
    let paths = paths.chain(files.jwks.iter().map(|(path, _)| path.clone()));
    paths.map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok()).collect()
}
