//! Why a certificate was not issued.
//!
//! In: made by every step of [`crate::issue`]. Out: a gRPC status for the caller and a reason for the audit line. The
//! text says what was expected, never anything of a key or a token.

use tonic::{Code, Status};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No credential, or none that is valid.
    #[error("not authenticated: {0}")]
    Unknown(String),
    /// A valid credential that does not give a right to this.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The request makes no sense.
    #[error("bad request: {0}")]
    Malformed(String),
    /// Too many at once.
    #[error("busy: {0}")]
    Busy(String),
    /// Our own fault.
    #[error("cannot sign: {0}")]
    Internal(String),
}

impl Denied {
    /// One word for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Denied::Unknown(_) => "unauthenticated",
            Denied::Forbidden(_) => "forbidden",
            Denied::Malformed(_) => "malformed",
            Denied::Busy(_) => "busy",
            Denied::Internal(_) => "internal",
        }
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Status {
        let code = match denied {
            Denied::Unknown(_) => Code::Unauthenticated,
            Denied::Forbidden(_) => Code::PermissionDenied,
            Denied::Malformed(_) => Code::InvalidArgument,
            Denied::Busy(_) => Code::ResourceExhausted,
            Denied::Internal(_) => Code::Internal,
        };
        Status::new(code, denied.to_string())
    }
}
