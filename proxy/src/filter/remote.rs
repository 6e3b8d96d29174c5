//! The client's address as policies see it: behind the proxies that are trusted (`xff_num_trusted_hops`), or the peer's.
//!
//! In: the chain's settings, the connection, the head's headers after `http::forwarded` changed them. Called by `rbac`.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use crate::observe::Conn;

const XFF: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Set at the edge, from what was there before the peer was appended.
const EXTERNAL: HeaderName = HeaderName::from_static("x-envoy-external-address");

/// Which headers are believed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust {
    /// `use_remote_address`
    pub edge: bool,
    /// `xff_num_trusted_hops`
    pub hops: u32,
}

/// The address; the peer's where headers say nothing usable.
pub(super) fn address(trust: Trust, conn: &Conn, headers: &HeaderMap) -> IpAddr {
    let told = if trust.edge {
        headers.get(EXTERNAL).and_then(|value| value.to_str().ok()).map(str::trim)
    } else {
        let text = headers.get(XFF).and_then(|value| value.to_str().ok());
        text.and_then(|text| text.rsplit(',').nth(trust.hops as usize)).map(str::trim)
    };
    let told = told.and_then(|text| text.parse::<IpAddr>().ok());
    told.unwrap_or(conn.peer.ip()).to_canonical()
}
