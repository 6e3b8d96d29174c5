//! The two messages of delta xDS as plain values.
//!
//! In and out: what [`super::Client`] and [`super::Server`] exchange. The transport adds the node to a stream's first
//! request and turns the rest into bytes; types that [`Kind`] does not know never get here.

use std::sync::Arc;

use crate::kind::Kind;
use crate::resource::Resource;

/// Client to server: subscription change, acknowledgement, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// What it is about; `None` only in `default()`.
    pub kind: Option<Kind>,
    /// Names to add; `*` is everything. Empty in a stream's first request: everything, if the kind allows it.
    pub subscribe: Vec<Arc<str>>,
    /// Names to drop.
    pub unsubscribe: Vec<Arc<str>>,
    /// Name and version of what the client holds; only in a stream's first request of a kind.
    pub initial_versions: Vec<(Arc<str>, Arc<str>)>,
    /// The response that this answers; empty if it answers none.
    pub nonce: Arc<str>,
    /// Set if the response was refused.
    pub error: Option<Failure>,
}

/// Why a response was refused: `google.rpc.Status` without its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// gRPC code.
    pub code: i32,
    /// Text for humans.
    pub message: String,
}

/// Server to client.
#[derive(Clone, Debug)]
pub struct Response {
    /// What it is about.
    pub kind: Kind,
    /// New and changed resources.
    pub resources: Vec<Arc<Resource>>,
    /// Names that do not exist (any more).
    pub removed: Vec<Arc<str>>,
    /// To be repeated in the answer.
    pub nonce: Arc<str>,
}
