//! What makes two upstream connections interchangeable.
//!
//! In: what a request wants of a connection. Out: a key: cluster, endpoint, protocol, ALPN, SNI, borrowed address. Two wants with one
//! key may share connections.

use std::sync::Arc;

use crate::config::{Borrowed, Cluster, Endpoint, EndpointAddress};
use crate::upstream::transport;

/// The protocol that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// HTTP/1.1 and nothing else: upgrades.
    Http1,
    /// HTTP/1.1 unless the handshake agrees on HTTP/2.
    Auto,
    /// HTTP/2, with prior knowledge where nothing is agreed on.
    Http2,
}

/// A connection that is asked for.
#[derive(Clone, Copy)]
pub struct Want<'a> {
    pub cluster: &'a Arc<Cluster>,
    pub endpoint: &'a Arc<Endpoint>,
    pub lane: Lane,
    /// Instead of the cluster's ALPN list.
    pub alpn: Option<&'a [Arc<str>]>,
    /// Instead of the cluster's SNI.
    pub sni: Option<&'a str>,
    /// Instead of the cluster's source address.
    pub borrowed: Option<Borrowed>,
}

/// Connections with equal keys may serve each other's requests. Settings compare by address: what did not change
/// keeps its pointer over configuration changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) cluster: u64,
    pub(super) address: EndpointAddress,
    pub(super) tls: usize,
    alpn: usize,
    lane: Lane,
    sni: Option<Box<str>>,
    borrowed: Option<Borrowed>,
}

impl Key {
    pub(super) fn of(want: &Want<'_>) -> Self {
        let tls = transport(want.cluster, want.endpoint);
        Key {
            cluster: want.cluster.id,
            address: want.endpoint.address.clone(),
            tls: tls.map_or(0, |tls| Arc::as_ptr(tls).addr()),
            alpn: tls.and(want.alpn).map_or(0, |list| list.as_ptr().addr()),
            lane: want.lane,
            sni: tls.and(want.sni).map(Into::into),
            borrowed: want.borrowed,
        }
    }
}
