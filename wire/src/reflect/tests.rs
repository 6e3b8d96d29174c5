//! Messages to JSON and back, and what is said of a field that is wrong.

use prost::Message;
use serde_json::json;

use super::*;
use crate::pb::envoy::config::listener::v3::Listener;
use crate::pb::google::protobuf::Any;
use crate::{Kind, csr, nds};

fn listener() -> serde_json::Value {
    json!({
        "name": "virtualOutbound",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15001}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "x",
                "stream_idle_timeout": "1.500s",
                "route_config": {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"]}]},
                "http_filters": [{
                    "name": "odd",
                    "typed_config": {"@type": "type.googleapis.com/unknown.Thing", "value": "AQI="}
                }]
            }
        }]}],
        "traffic_direction": "OUTBOUND",
        "per_connection_buffer_limit_bytes": 32768,
        "metadata": {"filter_metadata": {"istio": {"b": 1, "a": [true, "x"]}}},
        "use_original_dst": true
    })
}

#[test]
fn a_listener_with_nested_any_survives_the_round_trip() {
    let message: Listener = read(&listener()).unwrap();
    assert!(message.use_original_dst.unwrap().value);
    let back = message_to_json(&message, Style { proto_names: true, redact: false });
    assert_eq!(back, listener());
    let camel = message_to_json(&message, Style::default());
    assert_eq!(camel["perConnectionBufferLimitBytes"], 32768);
    assert_eq!(read::<Listener>(&camel).unwrap(), message);
}

#[test]
fn errors_name_the_field() {
    let mut bad = listener();
    bad["filter_chains"][0]["filters"][0]["typed_config"]["stat_prefx"] = json!("x");
    let error = from_json(Kind::Listener.type_url(), &bad).unwrap_err();
    assert_eq!(error.path, "filter_chains[0].filters[0].typed_config.stat_prefx");
    let mut bad = listener();
    bad["address"]["socket_address"]["port_value"] = json!("http");
    assert_eq!(
        from_json(Kind::Listener.type_url(), &bad).unwrap_err().path,
        "address.socket_address.port_value"
    );
    let bad = json!({"traffic_direction": "SIDEWAYS"});
    assert!(from_json(Kind::Listener.type_url(), &bad).unwrap_err().reason.contains("INBOUND"));
    let bad = json!({"filter_chains": [{"filters": [{"typed_config": {"@type": "a/b.C", "x": 1}}]}]});
    assert!(from_json(Kind::Listener.type_url(), &bad).unwrap_err().reason.contains("a/b.C"));
}

#[test]
fn every_kind_is_in_the_pool() {
    for kind in Kind::ALL {
        assert!(knows(kind.type_url()), "{kind}");
    }
    assert!(knows("istio.v1.auth.IstioCertificateRequest"));
    assert!(knows("envoy.config.bootstrap.v3.Bootstrap"));
    assert!(knows("envoy.admin.v3.ConfigDump"));
    assert!(knows("envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"));
    assert!(knows("xds.type.v3.TypedStruct") && knows("udpa.type.v1.TypedStruct"));
}

#[test]
fn secrets_are_hidden_on_request() {
    let json = json!({
        "name": "default",
        "tls_certificate": {
            "certificate_chain": {"inline_string": "CERT"},
            "private_key": {"inline_string": "KEY"}
        }
    });
    let bytes = from_json(Kind::Secret.type_url(), &json).unwrap();
    assert_eq!(to_json(Kind::Secret.type_url(), &bytes, true), json);
    let hidden = render(Kind::Secret.type_url(), &bytes, Style { proto_names: true, redact: true });
    assert_eq!(hidden["tls_certificate"]["private_key"]["inline_string"], "[redacted]");
    assert_eq!(hidden["tls_certificate"]["certificate_chain"]["inline_string"], "CERT");
}

#[test]
fn unknown_and_broken_bytes_degrade() {
    assert_eq!(to_json("x/y.Z", &[1, 2], true), json!({"@type": "x/y.Z", "value": "AQI="}));
    let broken = to_json(Kind::Cluster.type_url(), &[0xff], true);
    assert_eq!(broken["value"], "/w==");
    let any = Any { type_url: Kind::Cluster.type_url().into(), value: vec![0xff] };
    let json = to_json("google.protobuf.Any", &any.encode_to_vec(), true);
    assert_eq!(json, json!({"@type": Kind::Cluster.type_url(), "value": "/w=="}));
}

#[test]
fn our_own_messages() {
    let mut table = nds::NameTable::default();
    let info =
        nds::NameInfo { ips: vec!["10.0.0.1".into()], registry: "Kubernetes".into(), ..Default::default() };
    table.table.insert("reviews.default.svc.cluster.local".into(), info);
    let json = message_to_json(&table, Style::default());
    assert_eq!(json["table"]["reviews.default.svc.cluster.local"]["ips"][0], "10.0.0.1");
    assert_eq!(read::<nds::NameTable>(&json).unwrap(), table);
    let request = csr::IstioCertificateRequest { csr: "x".into(), validity_duration: 60, metadata: None };
    let json = to_json("istio.v1.auth.IstioCertificateRequest", &request.encode_to_vec(), false);
    assert_eq!(json, json!({"csr": "x", "validityDuration": "60"}));
}

#[test]
fn well_known_types() {
    let json = json!({"connect_timeout": "0.250s", "per_connection_buffer_limit_bytes": 5, "name": "c"});
    let bytes = from_json(Kind::Cluster.type_url(), &json).unwrap();
    assert_eq!(
        to_json(Kind::Cluster.type_url(), &bytes, true),
        json!({
            "connect_timeout": "0.250s", "per_connection_buffer_limit_bytes": 5, "name": "c"
        })
    );
    assert_eq!(
        from_json(Kind::Cluster.type_url(), &json!({"connect_timeout": "soon"})).unwrap_err().path,
        "connect_timeout"
    );
}
