//! Who is connected, and how far each client is with each type: what `/debug/syncz` and `proxy-status` show.
//!
//! In: each connection's arrival, progress and end. Out: a list of clients by node id. Read by `debug`; decides
//! nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use wire::delta::Sync;
use wire::{Kind, Node};

use crate::xds::View;

/// One type of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeState {
    pub sync: Sync,
    /// Nonce of the last response, and of the last one that the client applied.
    pub sent: Arc<str>,
    pub acked: Arc<str>,
    /// Seconds since the epoch of the last response.
    pub sent_at: u64,
}

impl Default for TypeState {
    fn default() -> Self {
        Self { sync: Sync::NotAsked, sent: "".into(), acked: "".into(), sent_at: 0 }
    }
}

/// One connected client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Number of the connection in this process.
    pub id: u64,
    pub node: Arc<Node>,
    pub peer: Option<SocketAddr>,
    /// Seconds since the epoch.
    pub since: u64,
    pub view: View,
    /// The publication whose resources it was offered last.
    pub generation: u64,
    pub types: BTreeMap<Kind, TypeState>,
}

/// All connected clients.
#[derive(Default)]
pub(crate) struct Registry {
    clients: Mutex<BTreeMap<u64, Client>>,
}

impl Registry {
    pub(crate) fn enter(&self, client: Client) {
        self.clients.lock().insert(client.id, client);
    }

    pub(crate) fn leave(&self, id: u64) {
        self.clients.lock().remove(&id);
    }

    pub(crate) fn change(&self, id: u64, change: impl FnOnce(&mut Client)) {
        if let Some(client) = self.clients.lock().get_mut(&id) {
            change(client);
        }
    }

    pub(crate) fn list(&self) -> Vec<Client> {
        let mut all: Vec<Client> = self.clients.lock().values().cloned().collect();
        all.sort_by_key(|client| (client.node.id.to_string(), client.id));
        all
    }
}
