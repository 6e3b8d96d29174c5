//! TLS of both sides: settings as compiled, made into rustls objects behind this door only.
//!
//! In: bytes of one connection, the settings of its chain or cluster, the [`Secrets`] in force. Out: an encrypted
//! stream and [`crate::observe::TlsFacts`], or an error that says what was wrong with the other side. Called by
//! `listen` ([`accept`]) and `upstream` ([`connect`]). Nothing outside names a rustls configuration.

mod client;
mod facts;
mod provider;
mod secrets;
mod server;
mod settings;
mod verify;

pub use client::{ClientStream, Overrides, connect, control_plane};
pub use facts::serial;
pub use provider::{install, provider};
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
    Handshake(#[from] std::io::Error),
}
