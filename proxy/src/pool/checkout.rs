//! Checking a connection out: an idle one, a place on a shared one, or a new one within the cluster's limits.
//!
//! The quick way takes no await and no allocation. The slow way holds a place among the cluster's pending
//! requests while it dials or waits for a connection to become free.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::Notify;

use super::h1::{Idle, Single};
use super::h2::{Line, Shared};
use super::key::{Key, Lane, Want};
use crate::cluster::Limit;
use crate::fail::Failure;
use crate::h1::Conn;
use crate::upstream::{Home, NotOpen, Open, Opened, Opening, open};
use crate::worker::Worker;

/// The pool of one worker.
#[derive(Default)]
pub struct Pool {
    pub(super) slots: RefCell<HashMap<Key, Rc<Slot>>>,
    homes: RefCell<HashMap<u64, Rc<Home>>>,
}

/// A connection for one request.
pub enum Lease {
    H1(Single),
    H2(Shared),
}

/// Interchangeable connections.
pub(super) struct Slot {
    pub(super) idle: RefCell<Vec<Idle>>,
    pub(super) lines: RefCell<Vec<Rc<Line>>>,
    pub(super) home: Rc<Home>,
    /// The endpoint or its settings are gone: nothing comes back.
    pub(super) retired: Cell<bool>,
    protocol: Cell<Protocol>,
    dialing: Cell<usize>,
    dialed: Notify,
    pub(super) limits: Cell<Ages>,
}

/// The cluster's limits of a connection's life, as of the last checkout.
#[derive(Clone, Copy)]
pub(super) struct Ages {
    pub(super) idle: std::time::Duration,
    max_age: std::time::Duration,
    max_requests: u32,
}

/// What the endpoint agreed to speak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http1,
    Http2,
}

/// Counts a dial while it runs, and wakes who waits for its result.
struct DialGuard<'a>(&'a Slot);

impl Drop for DialGuard<'_> {
    fn drop(&mut self) {
        self.0.dialing.set(self.0.dialing.get() - 1);
        self.0.dialed.notify_waiters();
    }
}

impl Pool {
    /// Open connections to a cluster, with who waits for one.
    pub fn home(&self, cluster: u64) -> Rc<Home> {
        self.homes.borrow_mut().entry(cluster).or_default().clone()
    }

    fn slot(&self, want: &Want<'_>) -> Rc<Slot> {
        let settings = &want.cluster.settings;
        let ages = Ages {
            idle: settings.idle_timeout,
            max_age: settings.max_connection_duration,
            max_requests: settings.max_requests_per_connection,
        };
        let key = Key::of(want);
        let mut slots = self.slots.borrow_mut();
        if let Some(slot) = slots.get(&key) {
            slot.limits.set(ages);
            return slot.clone();
        }
        let protocol = match want.lane {
            Lane::Http1 => Protocol::Http1,
            Lane::Auto => Protocol::Unknown,
            Lane::Http2 => Protocol::Http2,
        };
        let slot = Rc::new(Slot {
            idle: RefCell::default(),
            lines: RefCell::default(),
            home: self.home(want.cluster.id),
            retired: Cell::new(false),
            protocol: Cell::new(protocol),
            dialing: Cell::new(0),
            dialed: Notify::new(),
            limits: Cell::new(ages),
        });
        slots.insert(key, slot.clone());
        slot
    }

    /// Closes one idle connection to the cluster, whatever its endpoint: its place is needed.
    fn evict(&self, cluster: u64) {
        let slots = self.slots.borrow();
        for (_, slot) in slots.iter().filter(|(key, _)| key.cluster == cluster) {
            let oldest = {
                let mut idle = slot.idle.borrow_mut();
                if idle.is_empty() { None } else { Some(idle.remove(0)) }
            };
            if oldest.is_some() {
                return;
            }
        }
    }
}

impl Slot {
    pub(super) fn allows_more(&self, opened: &Opened) -> bool {
        let ages = self.limits.get();
        !self.retired.get()
            && opened.is_current()
            && (ages.max_requests == 0 || opened.served.get() < ages.max_requests)
            && (ages.max_age.is_zero() || opened.at.elapsed() < ages.max_age)
    }

    fn ready(self: &Rc<Self>) -> Option<Lease> {
        if self.protocol.get() != Protocol::Http2 {
            if let Some(single) = self.pop_idle() {
                return Some(Lease::H1(single));
            }
            if self.protocol.get() == Protocol::Http1 {
                return None;
            }
        }
        self.join().map(Lease::H2)
    }
}

/// A connection for one request.
pub async fn checkout(worker: &Worker, want: &Want<'_>) -> Result<Lease, NotOpen> {
    let slot = worker.pool.slot(want);
    match slot.ready() {
        Some(lease) => Ok(lease),
        None => Box::pin(wait(worker, want, slot)).await,
    }
}

async fn wait(worker: &Worker, want: &Want<'_>, slot: Rc<Slot>) -> Result<Lease, NotOpen> {
    let limits = &want.cluster.limits;
    let Some(_pending) = limits.acquire(Limit::Pending) else {
        return Err(Failure::Overflow.into());
    };
    loop {
        if let Some(lease) = slot.ready() {
            return Ok(lease);
        }
        // The first dial tells the protocol; where it is HTTP/2, its connection serves all who wait.
        if slot.dialing.get() > 0 && slot.protocol.get() != Protocol::Http1 {
            slot.dialed.notified().await;
            continue;
        }
        let permit = limits.acquire_connection(slot.home.held.get() + slot.dialing.get()).or_else(|| {
            worker.pool.evict(want.cluster.id);
            limits.acquire_connection(slot.home.held.get() + slot.dialing.get())
        });
        let Some(permit) = permit else {
            slot.home.freed.notified().await;
            continue;
        };
        slot.dialing.set(slot.dialing.get() + 1);
        let guard = DialGuard(&slot);
        let to = Opening {
            cluster: want.cluster,
            endpoint: want.endpoint,
            alpn: want.alpn,
            sni: want.sni,
            borrowed: want.borrowed,
        };
        let Open { mut stream, opened } = open(worker, to, slot.home.clone(), permit).await?;
        let agreed = opened.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
        if !speaks_h2(want.lane, agreed) {
            slot.protocol.set(Protocol::Http1);
            drop(guard);
            opened.served.set(1);
            let conn = Box::new(Conn::new(stream));
            return Ok(Lease::H1(Single { conn, opened, reused: false, slot }));
        }
        stream.gather(&worker.flusher);
        let lease = slot.start(stream, opened, want.cluster.settings.h2).await?;
        slot.protocol.set(Protocol::Http2);
        drop(guard);
        return Ok(Lease::H2(lease));
    }
}

/// Whether a new connection speaks HTTP/2. `mesh-h2` and `istio-h2` say it as `h2` does.
fn speaks_h2(lane: Lane, agreed: Option<&str>) -> bool {
    match (lane, agreed) {
        (Lane::Http1, _) => false,
        (_, Some("h2" | "mesh-h2" | "istio-h2")) => true,
        (Lane::Http2, Some("http/1.1" | "http/1.0" | "istio-http/1.1" | "istio-http/1.0")) => false,
        (Lane::Http2, _) => true,
        (Lane::Auto, _) => false,
    }
}
