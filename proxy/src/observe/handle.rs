//! Counting a request with one look-up.
//!
//! In: what distinguishes two requests for the counters. Out: a [`Handle`], the series of all of them, kept by the worker
//! from the first request of a kind on. Pointers stand in for the peer, the service and the chain; the handle keeps them
//! alive, so that an address means one thing.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::Peer;
use super::labels::Reporter;
use super::recent::Recent;
use super::series::{ClusterSeries, Counter, HttpSeries, RequestSeries};
use crate::config::ServiceIdentity;

/// Handles remembered; at this many the cache starts anew (the series themselves stay).
pub(super) const LIMIT: usize = 8192;

/// What makes two requests count in different series.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) reporter: Reporter,
    pub(super) grpc: bool,
    /// The chain has the filter that makes the standard metrics.
    pub(super) standard: bool,
    pub(super) catch_all: CatchAll,
    pub(super) status: u16,
    pub(super) grpc_status: Option<u16>,
    pub(super) flags: u32,
    /// Addresses: stat prefix, peer, service, cluster name.
    pub(super) pointers: [usize; 4],
    pub(super) own_principal: Option<Arc<str>>,
    pub(super) peer_principal: Option<Arc<str>>,
    /// Only where no service is known.
    pub(super) authority: Option<Arc<str>>,
}

/// Routes whose name is a label.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
pub(super) enum CatchAll {
    No,
    Block,
    Allow,
}

/// The series of one kind of request.
pub(super) struct Handle {
    /// `None`: the chain does not ask for the standard metrics.
    pub(super) standard: Option<Arc<RequestSeries>>,
    pub(super) cluster: Option<(Arc<ClusterSeries>, Arc<Counter>)>,
    pub(super) manager: Arc<HttpSeries>,
    pub(super) _held: Held,
}

/// What the pointers of a key point to.
pub(super) struct Held {
    pub(super) _prefix: Arc<str>,
    pub(super) _peer: Option<Arc<Peer>>,
    pub(super) _service: Option<Arc<ServiceIdentity>>,
    pub(super) _cluster: Option<Arc<str>>,
}

/// The handles of one worker. A change of configuration brings new names, and with them new keys.
pub(super) type Handles = Recent<Key, Handle, BuildHasherDefault<Quick>>;

/// A hash for keys of a few words and two identities: two instructions per eight bytes. Somebody who makes keys
/// collide on purpose slows down a table of [`LIMIT`] entries, no more.
#[derive(Default)]
pub(super) struct Quick(u64);

impl Quick {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| self.word(u64::from(*byte)));
    }

    fn write_u8(&mut self, n: u8) {
        self.word(u64::from(n));
    }

    fn write_u16(&mut self, n: u16) {
        self.word(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.word(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.word(n as u64);
    }

    fn finish(&self) -> u64 {
        // The table takes its group from the top bits and its slot from the low ones.
        self.0 ^ (self.0 >> 32)
    }
}
