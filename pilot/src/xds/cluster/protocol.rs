//! Which HTTP is spoken to an endpoint, and how long connections live: HttpProtocolOptions of a cluster.
//!
//! None for TCP clusters. Always complete, because Envoy refuses the message without its protocol choice.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{
    Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions as Common, KeepaliveSettings,
    UpstreamHttpProtocolOptions,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
    explicit_http_config::ProtocolConfig,
};
use envoy_types::pb::google::protobuf::Any;

use super::build::Outbound;
use crate::model::policy::{Pool, TlsMode, Upgrade};
use crate::model::service::{Port, Protocol};
use crate::xds::proto::{any, duration, uint32};

/// Key in `typed_extension_protocol_options`.
pub(super) const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Options of an outbound cluster.
pub(super) fn outbound(input: &Outbound, port: &Port, pool: &Pool) -> Option<Any> {
    let upgrade = match pool.upgrade {
        Upgrade::Always => true,
        Upgrade::Never => false,
        Upgrade::Default => input.mesh.http2_upgrade,
    };
    let choice = match port.protocol {
        _ if pool.use_client_protocol && port.protocol.is_http() => downstream(pool),
        p if p.is_http2() => http2(pool),
        Protocol::Http if upgrade && !input.service.external => http2(pool),
        Protocol::Http => http1(),
        Protocol::Unknown => downstream(pool),
        Protocol::Tls if simple_tls(input) => http1(),
        _ => return None,
    };
    // With TLS origination and no server name, the Host of each request names the server.
    let by_host = input.policy.tls.as_ref().is_some_and(|tls| {
        matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual) && tls.sni.is_empty() && !tls.skip_verify
    });
    let from_host = by_host.then(|| UpstreamHttpProtocolOptions {
        auto_sni: true,
        auto_san_validation: input.policy.tls.as_ref().is_some_and(|t| t.sans.is_empty())
            && input.service.sans.is_empty(),
        ..Default::default()
    });
    Some(options(choice, pool, from_host))
}

/// HTTPS that the proxy originates for an HTTPS port: the client speaks plain HTTP.
fn simple_tls(input: &Outbound) -> bool {
    input.policy.tls.as_ref().is_some_and(|tls| matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual))
}

/// Options towards the application.
pub(super) fn inbound(protocol: Protocol, pool: &Pool) -> Option<Any> {
    let choice = match protocol {
        p if p.is_http() && pool.use_client_protocol => downstream(pool),
        p if p.is_http2() => http2(pool),
        Protocol::Http => http1(),
        Protocol::Unknown => downstream(pool),
        _ => return None,
    };
    Some(options(choice, pool, None))
}

/// "The same version as the client."
pub(super) fn as_downstream(pool: &Pool) -> Any {
    options(downstream(pool), pool, None)
}

fn options(
    choice: UpstreamProtocolOptions,
    pool: &Pool,
    from_host: Option<UpstreamHttpProtocolOptions>,
) -> Any {
    let limits = Common {
        idle_timeout: pool.http_idle_timeout.or(pool.tcp_idle_timeout).map(duration),
        max_connection_duration: pool.max_connection_duration.map(duration),
        max_requests_per_connection: pool.max_requests_per_connection.filter(|n| *n > 0).map(uint32),
        ..Default::default()
    };
    any(&HttpProtocolOptions {
        common_http_protocol_options: (limits != Common::default()).then_some(limits),
        upstream_http_protocol_options: from_host,
        upstream_protocol_options: Some(choice),
        ..Default::default()
    })
}

fn http1() -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
        protocol_config: Some(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default())),
    })
}

fn http2(pool: &Pool) -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
        protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(http2_options(pool))),
    })
}

fn downstream(pool: &Pool) -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
        http_protocol_options: Some(Http1ProtocolOptions::default()),
        http2_protocol_options: Some(http2_options(pool)),
        http3_protocol_options: None,
    })
}

fn http2_options(pool: &Pool) -> Http2ProtocolOptions {
    // Envoy takes 1..=2^31-1 here.
    let streams = pool.max_concurrent_streams.filter(|n| *n > 0).map(|n| n.min(i32::MAX as u32));
    let ping = pool.http2_keepalive.map(|(interval, timeout)| KeepaliveSettings {
        interval: interval.map(duration),
        timeout: Some(duration(timeout.unwrap_or(Duration::from_secs(20)))),
        ..Default::default()
    });
    Http2ProtocolOptions {
        max_concurrent_streams: streams.map(uint32),
        connection_keepalive: ping,
        ..Default::default()
    }
}
