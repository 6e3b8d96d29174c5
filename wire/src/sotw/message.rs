//! The two messages of state-of-the-world xDS as plain values.
//!
//! In and out: what [`super::Client`] and [`super::Server`] exchange. The transport adds the node.

use std::sync::Arc;

use crate::delta::Failure;
use crate::kind::Kind;
use crate::resource::Resource;

/// Client to server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// What it is about; `None` only in `default()`.
    pub kind: Option<Kind>,
    /// All names of interest; empty: everything, if the kind allows it.
    pub names: Vec<Arc<str>>,
    /// Version of the last response in force.
    pub version: Arc<str>,
    /// The response that this answers; empty in a stream's first request.
    pub nonce: Arc<str>,
    /// Set if the response was refused.
    pub error: Option<Failure>,
}

/// Server to client.
#[derive(Clone, Debug)]
pub struct Response {
    /// What it is about.
    pub kind: Kind,
    /// All resources of a whole-set kind; of other kinds, those that are new or changed.
    pub resources: Vec<Arc<Resource>>,
    /// Version of the set.
    pub version: Arc<str>,
    /// To be repeated in the answer.
    pub nonce: Arc<str>,
}
