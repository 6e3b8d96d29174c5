//! Why a call failed, in curl's words and with its exit statuses, so that scripts written for curl understand.
//! Made by `call` and `link`; `kind` is what `load` counts by.

use std::error::Error as _;
use std::io;
use std::time::Duration;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("URL malformed: {0}")]
    Url(String),
    #[error("Could not resolve host: {0}")]
    Resolve(String),
    #[error("Failed to connect to {0}: {1}")]
    Connect(String, io::Error),
    #[error("Timed out after {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("TLS connect error: {0}")]
    Tls(String),
    #[error("SSL certificate problem: {0}")]
    Certificate(String),
    #[error("Empty reply from server")]
    Empty,
    #[error("Recv failure: {0}")]
    Recv(String),
    #[error("{0}")]
    Protocol(String),
}

impl CallError {
    /// curl's exit status for the same failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Url(_) => 3,
            Self::Resolve(_) => 6,
            Self::Connect(..) => 7,
            Self::Timeout(_) => 28,
            Self::Tls(_) => 35,
            Self::Certificate(_) => 60,
            Self::Empty => 52,
            Self::Recv(_) => 56,
            Self::Protocol(_) => 1,
        }
    }

    /// One word for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Resolve(_) => "resolve",
            Self::Connect(..) => "connect",
            Self::Timeout(_) => "timeout",
            Self::Tls(_) | Self::Certificate(_) => "tls",
            Self::Empty => "empty",
            Self::Recv(_) => "reset",
            Self::Protocol(_) => "protocol",
        }
    }

    pub(super) fn from_hyper(cause: &hyper::Error) -> Self {
        let mut source = cause.source();
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return match io.kind() {
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                        Self::Recv("Connection reset by peer".to_owned())
                    }
                    _ => Self::Recv(io.to_string()),
                };
            }
            source = inner.source();
        }
        if cause.is_incomplete_message() || cause.is_canceled() || cause.is_closed() {
            return Self::Empty;
        }
        Self::Protocol(cause.source().map_or_else(|| cause.to_string(), |why| format!("{cause}: {why}")))
    }
}
