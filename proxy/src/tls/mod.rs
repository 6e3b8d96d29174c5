//! TLS of both sides: settings as compiled, made into rustls objects behind this door only.
//!
//! In: bytes of one connection, the settings of its chain or cluster, the [`Secrets`] in force. Out: an encrypted
//! stream and [`crate::observe::TlsFacts`], or an error that says what was wrong with the other side. Called by
//! `listen` ([`accept`]) and `upstream` ([`connect`]). Nothing outside names a rustls configuration.

mod cache;
mod client;
mod facts;
mod own;
mod provider;
mod secrets;
mod server;
mod settings;
mod trust;
mod verify;

#[cfg(test)]
mod tests;

pub use client::{ClientStream, Overrides, connect, control_plane};
pub use facts::serial;
pub use provider::{SUITES, install, provider};
pub use secrets::{KeyMaterial, Roots, Secret, SecretError, Secrets};
pub use server::{ServerStream, accept};
pub use settings::*;
pub use verify::{Names, check_chain, check_names};

/// Why a handshake did not succeed; the text is `%UPSTREAM_TRANSPORT_FAILURE_REASON%`.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or trust bundle is not here (yet).
    #[error("{0}")]
    Secret(#[from] SecretError),
    /// The settings cannot be used.
    #[error("TLS_error: {0}")]
    Settings(String),
    /// The handshake failed, or the connection ended during it.
    #[error("TLS_error: {0}")]
    Handshake(String),
}

impl From<std::io::Error> for TlsError {
    /// Unpacks the reason that our verifiers gave; rustls shows it inside of two layers of its own.
    fn from(error: std::io::Error) -> Self {
        use rustls::{CertificateError, Error, OtherError};
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(Error::InvalidCertificate(CertificateError::Other(OtherError(reason)))) => {
                TlsError::Handshake(reason.to_string())
            }
            _ => TlsError::Handshake(error.to_string()),
        }
    }
}
