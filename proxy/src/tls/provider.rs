//! The one crypto door: aws-lc-rs, and nothing else.
//!
//! In: nothing. Out: the provider that every rustls configuration of this process is built with. Called by `tls`,
//! `identity` and `xds`; [`install`] once by `main`, for libraries that ask for the process default.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// The provider, shared.
pub fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}

/// Makes it the process default; a second call changes nothing.
pub fn install() {
    // An error means that it was installed before, by us: there is no other provider in this program.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}
