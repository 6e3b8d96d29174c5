//! `istio.alpn`: which ALPN protocols the upstream handshake offers, by the HTTP version that will be spoken.
//!
//! In: the chain's filters, the cluster, the downstream's version. Out: a list for the handshake, or none where the
//! cluster's own holds. Called by `http::attempt` and `mirror` before a checkout.

use std::sync::Arc;

use super::{AlpnOverride, Filter};
use crate::config::{Cluster, UpstreamHttp};

/// The list that replaces the cluster's own, if the chain overrides it for this cluster and downstream version.
pub fn alpn<'a>(
    filters: &'a [Filter],
    cluster: &Cluster,
    downstream: http::Version,
) -> Option<&'a [Arc<str>]> {
    let over = filters.iter().find_map(|filter| match filter {
        Filter::Alpn(over) => Some(over),
        _ => None,
    })?;
    let list = match cluster.settings.http {
        UpstreamHttp::Http2 => &over.http2,
        UpstreamHttp::Http1 | UpstreamHttp::Auto => &over.http11,
        UpstreamHttp::Downstream => by_version(over, downstream),
    };
    (!list.is_empty()).then_some(list.as_slice())
}

fn by_version(over: &AlpnOverride, version: http::Version) -> &Vec<Arc<str>> {
    match version {
        http::Version::HTTP_2 => &over.http2,
        http::Version::HTTP_10 | http::Version::HTTP_09 if !over.http10.is_empty() => &over.http10,
        _ => &over.http11,
    }
}
