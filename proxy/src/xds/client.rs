//! The session with the control plane: one ADS stream after another, for as long as the process lives.
//!
//! In: how to connect, what is followed, the store. Out: resources into the store, acks and rejects back, [`Status`] for
//! readiness and metrics. Runs on the control thread. A lost stream is opened again with growing pauses and with the
//! versions that are held, so that an unchanged mesh sends nothing; the proxy serves on what it has meanwhile.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::backoff::{Attempts, Backoff};
use parking_lot::Mutex;
use wire::pb::envoy::config::core::v3::Node;
use wire::transport::{DeltaStream, SotwStream};
use wire::{Kind, Reject, Resource, delta, sotw};

use super::store::{Batch, Changed, Store};
use super::wanted::Wanted;
use super::{Connector, Credential, Security};
use crate::identity::Health;

/// The first certificate is worth this much waiting: pilot tells more to a proxy that it knows.
const IDENTITY_WAIT: Duration = Duration::from_secs(2);

/// So many failures are nothing to talk about: the control plane starts at the same moment, or is replaced.
pub(crate) const EAGER: u32 = 10;

/// Counts failures towards the control plane.
pub(crate) fn attempts() -> Attempts {
    Attempts::new(Backoff { max: Duration::from_secs(5), ..Backoff::default() })
}

/// How long to wait: briefly while failures are few, then with growing pauses.
pub(crate) fn patience(attempts: &mut Attempts) -> Duration {
    let pause = attempts.failed();
    if attempts.failures() <= EAGER { pause.min(Duration::from_millis(50)) } else { pause }
}

/// What is followed, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    pub node: Node,
    pub connector: Connector,
    pub delta: bool,
    /// Wildcard subscriptions: clusters and listeners, and names where DNS is served.
    pub follow: BTreeSet<Kind>,
    /// Our certificate, where the control plane asks for one.
    pub identity: Option<base::Live<Health>>,
    /// The file of the token that stands for it while there is none; shown over TLS only.
    pub token: Option<PathBuf>,
}

impl Plan {
    /// Headers of a stream: the token where we have no certificate yet, as a call without either is refused.
    fn headers(&self) -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        if is_identified(self) || self.connector.security == Security::Plain {
            return headers;
        }
        let token = self.token.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let bearer = token.and_then(|token| format!("Bearer {}", token.trim()).parse().ok());
        if let Some(mut bearer) = bearer {
            http::HeaderValue::set_sensitive(&mut bearer, true);
            headers.insert(http::header::AUTHORIZATION, bearer);
        }
        headers
    }
}

/// How the session goes.
#[derive(Debug, Clone, Default)]
pub struct Status {
    pub connected: bool,
    /// Kinds of which an answer has come.
    pub received: BTreeSet<Kind>,
    /// When clusters and listeners had both come.
    pub basics: Option<SystemTime>,
    /// Everything that is followed, and everything it refers to, has come at least once.
    pub warm: bool,
    /// Names that were asked for and do not exist.
    pub absent: BTreeSet<(Kind, Arc<str>)>,
    pub streams: u64,
    pub responses: u64,
    pub rejects: u64,
    /// Streams that could not be opened, and streams that ended.
    pub failures: u64,
    pub terminations: u64,
    pub last_error: Option<String>,
    pub last_update: Option<SystemTime>,
}

/// The two protocols behind one face.
enum Session {
    Delta(Box<delta::Client>, Option<DeltaStream>),
    Sotw(Box<sotw::Client>, Option<SotwStream>),
}

/// A response that waits for its verdict.
enum Accepted {
    Delta(delta::Accepted),
    Sotw(sotw::Accepted),
}

impl Accepted {
    fn kind(&self) -> Kind {
        match self {
            Accepted::Delta(accepted) => accepted.kind,
            Accepted::Sotw(accepted) => accepted.kind,
        }
    }

    fn batch(&self) -> Batch {
        let (kind, resources, removed) = match self {
            Accepted::Delta(a) => (a.kind, &a.resources, &a.removed),
            Accepted::Sotw(a) => (a.kind, &a.resources, &a.removed),
        };
        let added = resources.iter().map(|resource| Resource::clone(resource)).collect();
        Batch { added, removed: removed.iter().map(|name| (kind, name.clone())).collect() }
    }
}

impl Session {
    fn new(plan: &Plan) -> Self {
        if plan.delta {
            let mut client = delta::Client::new();
            plan.follow.iter().for_each(|kind| client.subscribe_all(*kind));
            Session::Delta(Box::new(client), None)
        } else {
            let mut client = sotw::Client::new();
            plan.follow.iter().for_each(|kind| client.subscribe_all(*kind));
            Session::Sotw(Box::new(client), None)
        }
    }

    fn want(&mut self, wanted: &Wanted) {
        let lists = [
            (Kind::Endpoints, &wanted.endpoints),
            (Kind::Route, &wanted.routes),
            (Kind::Secret, &wanted.secrets),
        ];
        match self {
            Session::Delta(client, _) => {
                lists.iter().for_each(|(kind, names)| client.set_names(*kind, names));
                if !wanted.virtual_hosts_of.is_empty() {
                    client.follow(Kind::VirtualHost);
                }
            }
            Session::Sotw(client, _) => lists.iter().for_each(|(kind, names)| client.set_names(*kind, names)),
        }
    }

    /// Opens a stream and asks for everything again.
    async fn open(&mut self, plan: &Plan, credential: Credential) -> Result<(), String> {
        let channel = plan.connector.connect(credential).await?;
        match self {
            Session::Delta(client, stream) => {
                client.connected();
                *stream = Some(channel.delta(plan.headers()));
            }
            Session::Sotw(client, stream) => {
                client.connected();
                *stream = Some(channel.sotw(plan.headers()));
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        match self {
            Session::Delta(client, stream) => {
                client.disconnected();
                *stream = None;
            }
            Session::Sotw(client, stream) => {
                client.disconnected();
                *stream = None;
            }
        }
    }

    fn flush(&mut self, node: &Node) {
        match self {
            Session::Delta(client, Some(stream)) => stream.flush(client, node),
            Session::Sotw(client, Some(stream)) => stream.flush(client, node),
            _ => {}
        }
    }

    async fn next(&mut self) -> Result<Accepted, tonic::Status> {
        match self {
            Session::Delta(client, Some(stream)) => {
                Ok(Accepted::Delta(client.received(stream.next().await?)))
            }
            Session::Sotw(client, Some(stream)) => Ok(Accepted::Sotw(client.received(stream.next().await?))),
            _ => Err(tonic::Status::unavailable("no stream")),
        }
    }

    fn settle(&mut self, accepted: &Accepted, rejects: &[Reject]) {
        match (self, accepted, rejects.is_empty()) {
            (Session::Delta(client, _), Accepted::Delta(accepted), true) => client.ack(accepted),
            (Session::Delta(client, _), Accepted::Delta(accepted), false) => client.nack(accepted, rejects),
            (Session::Sotw(client, _), Accepted::Sotw(accepted), true) => client.ack(accepted),
            (Session::Sotw(client, _), Accepted::Sotw(accepted), false) => client.nack(accepted, rejects),
            _ => {}
        }
    }
}

/// Follows the control plane for ever.
pub async fn follow(plan: Plan, store: Arc<Mutex<Store>>, status: base::Live<Status>) {
    let mut session = Session::new(&plan);
    let mut attempts = attempts();
    loop {
        if tokio::time::timeout(IDENTITY_WAIT, identified(&plan)).await.is_err() {
            tracing::warn!("no certificate yet; asking the control plane without");
        }
        let had_certificate = is_identified(&plan);
        let ended = match session.open(&plan, Credential::Mutual).await {
            Ok(()) => {
                note(&status, |status| {
                    status.connected = true;
                    status.streams += 1;
                });
                let ended = pump(&mut session, &plan, &store, &status, &mut attempts, had_certificate).await;
                note(&status, |status| {
                    status.connected = false;
                    status.terminations += 1;
                });
                ended
            }
            Err(error) => {
                note(&status, |status| status.failures += 1);
                Ended::Failed(error)
            }
        };
        session.close();
        match ended {
            Ended::Identified => tracing::info!("reconnecting to the control plane with our certificate"),
            Ended::Failed(error) => {
                let pause = patience(&mut attempts);
                let retry = format!("{:.2}s", pause.as_secs_f64());
                if attempts.failures() > EAGER {
                    tracing::warn!(error, retry, "no session with the control plane");
                } else {
                    tracing::debug!(error, retry, "no session with the control plane");
                }
                note(&status, |status| status.last_error = Some(error));
                tokio::time::sleep(pause).await;
            }
        }
    }
}

enum Ended {
    Failed(String),
    /// We have a certificate now and the stream was opened without.
    Identified,
}

async fn pump(
    session: &mut Session,
    plan: &Plan,
    store: &Mutex<Store>,
    status: &base::Live<Status>,
    attempts: &mut Attempts,
    had_certificate: bool,
) -> Ended {
    let wanted = store.lock().wanted();
    session.want(&wanted);
    session.flush(&plan.node);
    loop {
        let next = tokio::select! {
            next = session.next() => next,
            () = identified(plan), if !had_certificate => return Ended::Identified,
        };
        let accepted = match next {
            Ok(accepted) => accepted,
            Err(error) => return Ended::Failed(format!("{:?}: {}", error.code(), error.message())),
        };
        attempts.succeeded();
        let changed = apply(store, &accepted, plan, status);
        session.settle(&accepted, &changed.rejects);
        if changed.wanted {
            let wanted = store.lock().wanted();
            session.want(&wanted);
        }
        session.flush(&plan.node);
        let kind = accepted.kind();
        let rejects = u64::try_from(changed.rejects.len()).unwrap_or(u64::MAX);
        tracing::debug!(kind = kind.short(), rejects, "configuration received");
        note(status, |status| {
            status.responses += 1;
            status.rejects += rejects;
            status.last_error = None;
            status.last_update = Some(SystemTime::now());
        });
    }
}

/// Puts a response in force, and notes whether everything has come now.
fn apply(store: &Mutex<Store>, accepted: &Accepted, plan: &Plan, status: &base::Live<Status>) -> Changed {
    let batch = accepted.batch();
    let mut now = Status::clone(&status.load());
    now.received.insert(accepted.kind());
    now.absent.retain(|(kind, name)| !batch.added.iter().any(|new| new.kind == *kind && new.name == *name));
    now.absent.extend(batch.removed.iter().cloned());
    let mut store = store.lock();
    let changed = store.apply(batch);
    let has = |kind: &Kind| !plan.follow.contains(kind) || now.received.contains(kind);
    let basics = has(&Kind::Cluster) && has(&Kind::Listener);
    if basics && now.basics.is_none() {
        now.basics = Some(SystemTime::now());
    }
    // A secret may take for ever (nobody made it yet) and fails in its own chain only.
    let settled = |key: &(Kind, Arc<str>)| key.0 == Kind::Secret || now.absent.contains(key);
    now.warm = now.warm || (basics && store.missing().iter().all(settled));
    drop(store);
    status.set(now);
    changed
}

/// Has a certificate, or needs none.
fn is_identified(plan: &Plan) -> bool {
    plan.identity.as_ref().is_none_or(|health| health.load().window.is_some())
}

async fn identified(plan: &Plan) {
    let Some(health) = &plan.identity else { return };
    let mut reader = health.reader();
    while reader.load().window.is_none() {
        reader.changed().await;
    }
}

fn note(status: &base::Live<Status>, change: impl FnOnce(&mut Status)) {
    let mut now = Status::clone(&status.load());
    change(&mut now);
    status.set(now);
}
