//! One kind of one connection, as the servers of both protocols keep it: the lane, and how far its client is.
//!
//! In: answers of the client, nonces of responses. Out: [`Report`]s for metrics, [`Sync`] for status pages. Promises:
//! at most one response is unanswered, and only its own nonce answers it. Owned by `delta::Server` and `sotw::Server`,
//! which know when to send what.

use std::sync::Arc;

use super::message::Failure;
use super::state::Lane;
use crate::kind::Kind;

/// Something that a request said, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// First request of this kind on this stream.
    Asked {
        /// The kind.
        kind: Kind,
        /// How many resources the client says it holds.
        held: usize,
    },
    /// The client applied the response.
    Ack {
        /// The kind.
        kind: Kind,
        /// Of the response.
        nonce: Arc<str>,
    },
    /// The client refused the response, or parts of it, and keeps what it had.
    Nack {
        /// The kind.
        kind: Kind,
        /// Of the response.
        nonce: Arc<str>,
        /// In the client's words.
        error: Failure,
    },
    /// An answer to a response that is not the last one: ignored.
    Stale {
        /// The kind.
        kind: Kind,
    },
}

/// How far a client is with one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It has not asked.
    NotAsked,
    /// Nothing has been sent, since there was nothing to send.
    NotSent,
    /// It has confirmed the last response.
    Synced,
    /// It has not answered yet.
    Pending,
    /// It has refused the last response.
    Refused(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) lane: Lane,
    /// Nonce of the response that is not answered yet.
    in_flight: Option<Arc<str>>,
    /// The client waits for a response even if there is nothing to say.
    pub(crate) owed: bool,
    sent: bool,
    refused: Option<String>,
}

impl Stream {
    pub(crate) fn new(kind: Kind) -> Self {
        Stream { lane: Lane::new(kind), in_flight: None, owed: false, sent: false, refused: None }
    }

    /// Whether a response waits for its answer.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether nothing is unsent or unanswered.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_in_flight() && !self.lane.is_due()
    }

    /// A response goes out: the `number`th of its connection. Its nonce.
    pub(crate) fn issue(&mut self, kind: Kind, number: u64) -> Arc<str> {
        let nonce: Arc<str> = format!("{}-{number}", kind.short()).into();
        self.in_flight = Some(nonce.clone());
        self.owed = false;
        self.sent = true;
        self.refused = None;
        nonce
    }

    /// The client answers the response of this nonce.
    pub(crate) fn answered(&mut self, kind: Kind, nonce: &Arc<str>, error: Option<&Failure>) -> Report {
        if self.in_flight.as_ref() != Some(nonce) {
            return Report::Stale { kind };
        }
        self.in_flight = None;
        let nonce = nonce.clone();
        match error {
            None => Report::Ack { kind, nonce },
            Some(error) => {
                // Not sent again: it would be refused again. The next version will be tried.
                self.refused = Some(error.message.clone());
                Report::Nack { kind, nonce, error: error.clone() }
            }
        }
    }

    /// How far the client is.
    pub(crate) fn sync(&self) -> Sync {
        match (&self.in_flight, &self.refused) {
            _ if !self.lane.subscribed => Sync::NotAsked,
            (Some(_), _) => Sync::Pending,
            (None, Some(why)) => Sync::Refused(why.clone()),
            (None, None) if self.sent => Sync::Synced,
            // It came back with everything: in sync without a word.
            (None, None) if self.lane.held().next().is_some() => Sync::Synced,
            (None, None) => Sync::NotSent,
        }
    }

    /// Names that the client asked for, sorted; empty and `true` if it asked for everything.
    pub(crate) fn subscription(&self) -> (Vec<Arc<str>>, bool) {
        let mut names: Vec<Arc<str>> = self.lane.names.iter().cloned().collect();
        names.sort();
        (names, self.lane.wildcard)
    }
}
