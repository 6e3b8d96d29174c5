//! TLS towards endpoints: auto mutual TLS, and what a DestinationRule says instead.
//!
//! Auto mutual TLS is decided per endpoint by two transport socket matches; everything else is one transport
//! socket for the whole cluster.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use envoy_types::pb::envoy::config::core::v3::{TransportSocket, transport_socket::ConfigType};
use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
use envoy_types::pb::google::protobuf::Any;
use serde_json::json;

use super::build::Outbound;
use crate::model::policy::{ClientTls, TlsMode};
use crate::model::service::{Protocol, Resolution};
use crate::xds::proto::{any, structure};
use crate::xds::tls;

/// Fills the TLS part of a cluster.
pub fn apply(cluster: &mut Cluster, input: &Outbound) {
    let Some(setting) = &input.policy.tls else {
        return auto(cluster, input);
    };
    cluster.transport_socket = match setting.mode {
        TlsMode::Disable => None,
        TlsMode::IstioMutual => Some(tls_socket(mesh_context(input, Some(setting)))),
        TlsMode::Simple | TlsMode::Mutual => Some(tls_socket(originate(input, setting))),
    };
}

fn auto(cluster: &mut Cluster, input: &Outbound) {
    if !input.mesh.auto_mtls || input.service.external {
        return;
    }
    if input.resolution() == Resolution::Original {
        // No endpoint metadata to decide by: mutual TLS if all of them take it.
        if input.all_mutual {
            cluster.transport_socket = Some(tls_socket(mesh_context(input, None)));
        }
        return;
    }
    cluster.transport_socket_matches = vec![
        TransportSocketMatch {
            name: "tlsMode-istio".to_owned(),
            r#match: Some(structure(json!({ "tlsMode": "istio" }))),
            transport_socket: Some(tls_socket(mesh_context(input, None))),
        },
        TransportSocketMatch {
            name: "tlsMode-disabled".to_owned(),
            r#match: Some(structure(json!({}))),
            transport_socket: Some(socket("envoy.transport_sockets.raw_buffer", any(&RawBuffer {}))),
        },
    ];
}

/// A transport socket by its extension name.
pub fn socket(name: &str, config: Any) -> TransportSocket {
    TransportSocket { name: name.to_owned(), config_type: Some(ConfigType::TypedConfig(config)) }
}

fn tls_socket(context: UpstreamTlsContext) -> TransportSocket {
    socket("envoy.transport_sockets.tls", any(&context))
}

/// Mutual TLS with identities of the mesh.
fn mesh_context(input: &Outbound, setting: Option<&ClientTls>) -> UpstreamTlsContext {
    let accounts = input.accounts.as_deref().map(Vec::as_slice).unwrap_or_default();
    let sans = match setting {
        Some(tls) if !tls.sans.is_empty() => tls.sans.as_slice(),
        _ if !input.service.sans.is_empty() => input.service.sans.as_slice(),
        _ => accounts,
    };
    let sni = match setting {
        Some(tls) if !tls.sni.is_empty() => tls.sni.clone(),
        _ => input.name().sni().unwrap_or_default(),
    };
    let mut common = tls::mesh_identity(sans);
    common.alpn_protocols = mesh_alpn(input).iter().map(|&p| p.to_owned()).collect();
    UpstreamTlsContext { common_tls_context: Some(common), sni, ..Default::default() }
}

/// What the server recognises the mesh by. A client without the ALPN filter cannot say it per request, so its
/// clusters say it outright.
fn mesh_alpn(input: &Outbound) -> &'static [&'static str] {
    let protocol = input.service_port().protocol;
    match (input.features.alpn, protocol) {
        (true, p) if p.is_http2() => &["istio", "h2"],
        (true, Protocol::Http) => &["istio"],
        (false, p) if p.is_http2() => &["istio-h2"],
        (false, Protocol::Http) => &["istio-http/1.1"],
        _ if input.features.metadata_exchange => &["istio-peer-exchange", "istio"],
        _ => &["istio"],
    }
}

/// TLS that the proxy originates towards a server outside of the mesh.
fn originate(input: &Outbound, setting: &ClientTls) -> UpstreamTlsContext {
    let sans = if setting.sans.is_empty() { &input.service.sans } else { &setting.sans };
    let mut common = tls::originate(setting, sans, input.credentials, input.features.own());
    if input.service_port().protocol.is_http2() {
        common.alpn_protocols = vec!["h2".to_owned()];
    } else if matches!(input.service_port().protocol, Protocol::Http) {
        common.alpn_protocols = vec!["http/1.1".to_owned()];
    }
    UpstreamTlsContext { common_tls_context: Some(common), sni: setting.sni.clone(), ..Default::default() }
}
