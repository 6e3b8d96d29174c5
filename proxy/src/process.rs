//! What the parts of one running proxy share, and how it is told to end.
//!
//! In: made once by `app`. Out: handles for the endpoints (`admin`, `status`) and for shutdown. Everything in here may
//! be used from any thread and is off the data path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use base::telemetry::Levels;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::Config;
use crate::identity::Health;
use crate::listen::{Listeners, Places, StatsTable};
use crate::observe::{Own, Registry, Sinks};
use crate::overload::Overload;
use crate::settings::Settings;
use crate::tls::Secrets;
use crate::xds::{Status, Store};

/// What a cluster or listener refers to is not waited for any longer than this (Envoy's `initial_fetch_timeout`).
const FETCH_LIMIT: Duration = Duration::from_secs(15);

/// One running proxy.
pub struct Process {
    pub settings: Settings,
    pub own: Arc<Own>,
    /// The node as it is sent to the control plane.
    pub node: wire::pb::envoy::config::core::v3::Node,
    pub started: SystemTime,
    pub config: base::Live<Config>,
    pub store: Arc<Mutex<Store>>,
    pub secrets: Secrets,
    pub registry: Registry,
    pub sinks: Sinks,
    pub listeners: Listeners,
    pub listener_stats: StatsTable,
    pub places: Arc<Places>,
    pub overload: Arc<Overload>,
    pub levels: Option<Levels>,
    /// `None`: no control plane.
    pub session: Option<base::Live<Status>>,
    /// `None`: no identity is kept.
    pub identity: Option<base::Live<Health>>,
    pub dns: Arc<crate::dns::Counters>,
    pub ending: Ending,
}

/// The ways to end, asked for by signals and endpoints, carried out by `app`.
#[derive(Default)]
pub struct Ending {
    quit: AtomicBool,
    drain: AtomicBool,
    wake: Notify,
}

impl Ending {
    /// End the process, gracefully.
    pub fn quit(&self) {
        self.quit.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Tell clients to go elsewhere, and stay.
    pub fn drain(&self) {
        self.drain.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Draining, or about to end.
    pub fn has_begun(&self) -> bool {
        self.drain.load(Ordering::Acquire) || self.quit.load(Ordering::Acquire)
    }

    /// Resolves at the next request; true: the process is to end.
    pub async fn asked(&self) -> bool {
        loop {
            self.wake.notified().await;
            if self.quit.load(Ordering::Acquire) {
                return true;
            }
            if self.drain.load(Ordering::Acquire) {
                return false;
            }
        }
    }
}

impl Process {
    /// `LIVE`, or what is waited for.
    pub fn ready(&self) -> Result<(), String> {
        if self.ending.has_begun() {
            return Err("DRAINING".into());
        }
        let mut missing = Vec::new();
        if let Some(session) = &self.session {
            let status = session.load();
            let late = status.basics.is_some_and(|at| at.elapsed().is_ok_and(|waited| waited > FETCH_LIMIT));
            if !status.warm && !late {
                let failed =
                    status.last_error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
                let what = if status.received.is_empty() {
                    "no configuration"
                } else {
                    "configuration is incomplete"
                };
                missing.push(format!("{what}{failed}"));
            }
        }
        if let Some(identity) = &self.identity {
            let health = identity.load();
            if health.window.is_none_or(|window| window.left(SystemTime::now()) == Duration::ZERO) {
                let failed =
                    health.last_error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
                missing.push(format!("no valid certificate{failed}"));
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
    }
}

/// Memory of this process that is in use, in bytes, from the kernel.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
