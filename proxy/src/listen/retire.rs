//! Open connections that must end before their clients want to.
//!
//! In: each admitted connection with the chain that took it; new Configs; the process's drain; the end of the peer's
//! certificate. Out: a drain for exactly the connections that are concerned: those whose chain is gone or changed, so
//! that a stricter policy holds for old connections too, and those whose peer could not prove itself any more. One
//! table and one task per worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::drain::{self, Trigger, Watch};
use tokio::time::Instant;

use crate::config::{Chain, Config};
use crate::worker::Worker;

/// Time to finish for connections of a chain that is gone (Istio's `drainDuration`).
const GRACE: Duration = Duration::from_secs(45);
/// And for those whose peer's certificate is over.
const EXPIRED: Duration = Duration::from_secs(5);
/// And for all, when the process drains.
const PROCESS: Duration = Duration::from_secs(365 * 24 * 3600);
/// How often deadlines and certificates are looked at.
const TICK: Duration = Duration::from_secs(1);

struct Open {
    trigger: Trigger,
    listener: Arc<str>,
    chain: u128,
    /// End of the peer's certificate.
    expires: Option<SystemTime>,
    /// When a started drain is cut off.
    deadline: Option<Instant>,
}

/// The open connections of one worker.
#[derive(Default)]
pub(super) struct Table {
    open: RefCell<HashMap<u64, Open>>,
}

/// A connection's place in the table, until dropped.
pub(super) struct Place {
    table: Rc<Table>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.open.borrow_mut().remove(&self.id);
    }
}

impl Table {
    /// Notes a connection; it hears its end through the watch.
    pub(super) fn enter(
        self: &Rc<Self>,
        id: u64,
        listener: &Arc<str>,
        chain: &Chain,
        expires: Option<SystemTime>,
    ) -> (Watch, Place) {
        let (trigger, watch) = drain::pair();
        let open =
            Open { trigger, listener: listener.clone(), chain: chain.version, expires, deadline: None };
        self.open.borrow_mut().insert(id, open);
        (watch, Place { table: self.clone(), id })
    }

    /// Watches over the table for as long as the worker lives.
    pub(super) async fn watch(self: Rc<Self>, worker: Rc<Worker>) {
        let mut config = worker.config.clone();
        let mut process = worker.drain.clone();
        let mut last = worker.drain.clone();
        let mut ticks = tokio::time::interval(TICK);
        let mut draining = false;
        loop {
            tokio::select! {
                now = config.changed() => self.retire(&now),
                () = process.graceful(), if !draining => {
                    draining = true;
                    // When these are cut off is the process's decision (`immediate`).
                    self.start(PROCESS, |_| true);
                }
                () = last.immediate() => {
                    self.open.borrow().values().for_each(|open| open.trigger.immediate());
                    return;
                }
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    /// Starts the drain of connections whose chain is not in force any more.
    fn retire(&self, config: &Config) {
        self.start(GRACE, |open| {
            let Some(listener) = config.listeners.get(&open.listener) else { return true };
            let mut chains = listener.chains.iter().chain(&listener.default_chain);
            !chains.any(|chain| chain.version == open.chain)
        });
    }

    fn start(&self, grace: Duration, concerned: impl Fn(&Open) -> bool) {
        for open in self.open.borrow_mut().values_mut() {
            if open.deadline.is_none() && concerned(open) {
                open.trigger.start(grace);
                open.deadline = Some(Instant::now() + grace);
            }
        }
    }

    fn tick(&self) {
        let wall = SystemTime::now();
        self.start(EXPIRED, |open| open.expires.is_some_and(|at| at <= wall));
        let now = Instant::now();
        for open in self.open.borrow().values() {
            if open.deadline.is_some_and(|at| at <= now) {
                open.trigger.immediate();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{App, ChainMatch, Direction, Inspect, Listener};

    fn chain(version: u128) -> Arc<Chain> {
        Arc::new(Chain {
            name: "c".into(),
            matches: ChainMatch::default(),
            tls: None,
            app: App::Close,
            tcp_peer_exchange: false,
            handshake_timeout: Duration::ZERO,
            version,
        })
    }

    fn config(chains: Vec<Arc<Chain>>) -> Config {
        let listener = Listener {
            name: "l".into(),
            addresses: Vec::new(),
            bind: true,
            transparent: false,
            hand_over: false,
            direction: Direction::Inbound,
            inspect: Inspect::default(),
            inspect_timeout: Duration::ZERO,
            inspect_continue: false,
            chains,
            default_chain: None,
            access_logs: Vec::new(),
            version: "".into(),
        };
        let mut config = Config::default();
        config.listeners.insert("l".into(), Arc::new(listener));
        config
    }

    #[test]
    fn only_connections_of_a_chain_that_is_gone_are_drained() {
        let table = Rc::new(Table::default());
        let (plain, _a) = table.enter(1, &"l".into(), &chain(1), None);
        let (mutual, _b) = table.enter(2, &"l".into(), &chain(2), None);
        table.retire(&config(vec![chain(2), chain(1)]));
        assert!(!plain.is_draining() && !mutual.is_draining());
        table.retire(&config(vec![chain(2)]));
        assert!(plain.is_draining() && !mutual.is_draining());
        table.retire(&Config::default());
        assert!(mutual.is_draining());
    }

    #[test]
    fn an_expired_peer_is_drained_and_places_are_given_back() {
        let table = Rc::new(Table::default());
        let past = SystemTime::now() - Duration::from_secs(1);
        let (watch, place) = table.enter(1, &"l".into(), &chain(1), Some(past));
        table.tick();
        assert!(watch.is_draining());
        drop(place);
        assert!(table.open.borrow().is_empty());
    }
}
