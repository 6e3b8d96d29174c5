//! The listening sockets follow the Config.
//!
//! In: each new Config. Out: sockets opened and closed by diff; a socket whose address is still wanted is kept,
//! whatever else changed. Runs on the accept thread. An address that cannot be bound is tried again, is told in the
//! log, and is listed with its error; it never holds back the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::place::Places;
use super::{accept, socket};
use crate::config::Config;

/// How often a failed bind is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// One address of one listener, as it is now.
#[derive(Debug, Clone)]
pub struct Bound {
    pub listener: Arc<str>,
    /// The real address (a configured port 0 has become a port).
    pub local: Option<SocketAddr>,
    /// Why it is not open.
    pub error: Option<String>,
}

/// A configured address, and whether its socket is transparent; with the listener's name where the port is 0, since
/// each of those is a port of its own.
type Place = (SocketAddr, bool, Option<Arc<str>>);

struct Open {
    name: Arc<Mutex<Arc<str>>>,
    local: SocketAddr,
    /// Dropping it stops the acceptor and closes the socket.
    _stop: oneshot::Sender<()>,
}

/// The sockets. Clones are the same set; readable from any thread.
#[derive(Clone, Default)]
pub struct Listeners {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    table: Mutex<BTreeMap<Place, Bound>>,
    closed: std::sync::atomic::AtomicBool,
    /// Rings when `closed` was set, or when the table changed.
    wake: Notify,
    applied: Notify,
}

impl Listeners {
    /// What is open, and what could not be opened, by configured address.
    pub fn list(&self) -> Vec<(SocketAddr, Bound)> {
        self.shared.table.lock().iter().map(|((address, ..), bound)| (*address, bound.clone())).collect()
    }

    /// Stops accepting for good.
    pub fn close(&self) {
        self.shared.closed.store(true, std::sync::atomic::Ordering::Release);
        self.shared.wake.notify_one();
    }

    /// Resolves when a listener of this name is open; its real address.
    pub async fn opened(&self, name: &str) -> SocketAddr {
        loop {
            let applied = self.shared.applied.notified();
            tokio::pin!(applied);
            applied.as_mut().enable();
            let found = {
                let table = self.shared.table.lock();
                table.values().find(|bound| *bound.listener == *name).and_then(|bound| bound.local)
            };
            match found {
                Some(local) => return local,
                None => applied.await,
            }
        }
    }

    /// Follows `config` for ever. Runs on the accept thread.
    pub async fn follow(self, config: base::Live<Config>, places: Arc<Places>) {
        let mut reader = config.reader();
        let mut open: BTreeMap<Place, Open> = BTreeMap::new();
        loop {
            let closed = self.shared.closed.load(std::sync::atomic::Ordering::Acquire);
            let now = reader.load();
            let wanted = if closed { BTreeMap::new() } else { wanted(&now) };
            drop(now);
            let failed = self.apply(&mut open, wanted, &places);
            tokio::select! {
                _ = reader.changed() => {}
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(RETRY), if failed => {}
            }
        }
    }

    /// True if an address could not be bound.
    fn apply(
        &self,
        open: &mut BTreeMap<Place, Open>,
        wanted: BTreeMap<Place, Arc<str>>,
        places: &Arc<Places>,
    ) -> bool {
        open.retain(|place, known| {
            let keep = wanted.contains_key(place);
            if !keep {
                tracing::info!(address = %known.local, "listening socket closed");
            }
            keep
        });
        let mut table = BTreeMap::new();
        for (place, listener) in wanted {
            let (address, transparent) = (place.0, place.1);
            let bound = match open.get(&place) {
                Some(known) => {
                    known.name.lock().clone_from(&listener);
                    Bound { listener, local: Some(known.local), error: None }
                }
                None => match start(address, transparent, listener.clone(), places) {
                    Ok(fresh) => {
                        let local = Some(fresh.local);
                        open.insert(place.clone(), fresh);
                        Bound { listener, local, error: None }
                    }
                    Err(error) => {
                        let told = self.shared.table.lock().get(&place).is_some_and(|b| b.error.is_some());
                        if !told {
                            tracing::error!(%address, %listener, %error, "cannot listen; will try again");
                        }
                        Bound { listener, local: None, error: Some(error.to_string()) }
                    }
                },
            };
            table.insert(place, bound);
        }
        let failed = table.values().any(|bound| bound.error.is_some());
        *self.shared.table.lock() = table;
        self.shared.applied.notify_waiters();
        failed
    }
}

/// Configured address -> listener. Of two listeners with one address the first by name has it.
fn wanted(config: &Config) -> BTreeMap<Place, Arc<str>> {
    let mut listeners: Vec<_> = config.listeners.values().filter(|listener| listener.bind).collect();
    listeners.sort_by(|a, b| a.name.cmp(&b.name));
    let mut wanted = BTreeMap::new();
    for listener in listeners {
        for address in &listener.addresses {
            let own = (address.port() == 0).then(|| listener.name.clone());
            let place = (*address, listener.transparent, own);
            wanted.entry(place).or_insert_with(|| listener.name.clone());
        }
    }
    wanted
}

fn start(
    address: SocketAddr,
    transparent: bool,
    listener: Arc<str>,
    places: &Arc<Places>,
) -> std::io::Result<Open> {
    let socket = socket::listen(address, transparent)?;
    let local = socket.local_addr()?.as_socket().unwrap_or(address);
    tracing::info!(address = %local, %listener, "listening");
    let name = Arc::new(Mutex::new(listener));
    let (stop, stopped) = oneshot::channel();
    let work = accept::run(socket, name.clone(), places.clone(), stopped);
    base::task::spawn("accept", async move {
        if let Err(error) = work.await {
            tracing::error!(%error, %address, "a listening socket failed");
        }
    });
    Ok(Open { name, local, _stop: stop })
}
