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

#[test]
fn forms_of_google_s_own_types() {
    assert!(
        !knows("google.protobuf.FieldMask"),
        "it has a form of its own that nothing here reads or writes"
    );
    let any = |type_name: &str, value: serde_json::Value| json!({"@type": format!("type.googleapis.com/google.protobuf.{type_name}"), "value": value});
    let same = [
        any("Duration", json!("-1.000000001s")),
        any("Timestamp", json!("2024-02-29T23:59:59.500Z")),
        any("StringValue", json!("x")),
        any("Int64Value", json!("-7")),
        any("BytesValue", json!("AQI=")),
        any("ListValue", json!([1, null, "x", {"a": []}])),
        any("Value", json!(null)),
        any("Struct", json!({"a": 1.5})),
        any("Any", any("BoolValue", json!(true))),
        json!({"@type": "type.googleapis.com/google.protobuf.Empty"}),
    ];
    for json in same {
        let bytes = from_json("google.protobuf.Any", &json).unwrap();
        assert_eq!(to_json("google.protobuf.Any", &bytes, true), json);
    }
    for (type_name, value) in [
        ("Duration", json!("1.5")),
        ("Duration", json!("315576000001s")),
        ("Duration", json!({"seconds": 1})),
        ("Timestamp", json!("2024-02-30T00:00:00Z")),
        ("Timestamp", json!("2024-02-03")),
        ("UInt32Value", json!(-1)),
        ("Struct", json!([])),
        ("Int64Value", json!({})),
    ] {
        let json = any(type_name, value);
        let error = from_json("google.protobuf.Any", &json).unwrap_err();
        assert!(error.reason.contains(type_name), "{json}: {error}");
    }
}

#[test]
fn what_a_field_may_not_be() {
    let all = [
        (json!({"name": 1}), "name", "expected text, found 1"),
        (json!({"filter_chains": {}}), "filter_chains", "expected a list, found {}"),
        (json!({"address": []}), "address", "expected an object"),
        (json!({"metadata": {"filter_metadata": []}}), "metadata.filter_metadata", "expected an object"),
        (json!({"metadata": {"filter_metadata": {"a": 1}}}), "metadata.filter_metadata[\"a\"]", "expected"),
        (json!({"filter_chains": [null]}), "filter_chains[0]", "expected an object"),
        (json!({"address": {"pipe": {}, "socket_address": {}}}), "address.socket_address", "excludes pipe"),
        (json!({"stat_prefix": "a", "statPrefix": "a"}), "statPrefix", "is given twice"),
        (
            json!({"filter_chains": [{"filters": [{"typed_config": {}}]}]}),
            "filter_chains[0].filters[0].typed_config",
            "needs an @type",
        ),
        (json!([]), "", "expected an object (envoy.config.listener.v3.Listener), found []"),
    ];
    for (json, path, reason) in all {
        let error = from_json(Kind::Listener.type_url(), &json).unwrap_err();
        assert!(error.path == path && error.reason.starts_with(reason), "{json}: {error:?}");
    }
    assert_eq!(from_json("x.Y", &json!({})).unwrap_err().reason, "unknown message type x.Y");
    // Null is no value at all.
    assert_eq!(from_json(Kind::Listener.type_url(), &json!({"name": null, "address": null})), Ok(vec![]));
}

#[test]
fn a_type_may_come_last() {
    let text = r#"{"filters": [{"typed_config": {"cluster": "c", "stat_prefix": "s", "@type":
        "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"}}]}"#;
    let type_name = "envoy.config.listener.v3.FilterChain";
    let read = |text: &str| read_from(type_name, &mut serde_json::Deserializer::from_str(text));
    let json = to_json(type_name, &read(text).unwrap(), true);
    assert_eq!(json["filters"][0]["typed_config"]["cluster"], "c");
    let Err(Failure::Mismatch(error)) = read(&text.replace("stat_prefix", "stat")) else {
        panic!("misspelt")
    };
    assert_eq!(error.path, "filters[0].typed_config.stat");
    assert!(matches!(read(&text.replace("stat_prefix", "cluster")), Err(Failure::Syntax(_))), "given twice");
    assert!(matches!(read("{"), Err(Failure::Syntax(_))));
}

#[test]
fn bytes_of_several_senders_are_merged() {
    use prost::Message as _;
    let part = |json| from_json(Kind::Cluster.type_url(), &json).unwrap();
    let bytes = [
        part(json!({"name": "a", "eds_cluster_config": {"service_name": "s"}, "connect_timeout": "1s"})),
        part(json!({"name": "b", "eds_cluster_config": {"eds_config": {"ads": {}}}, "type": "EDS"})),
    ]
    .concat();
    let message = crate::pb::envoy::config::cluster::v3::Cluster::decode(bytes.as_slice()).unwrap();
    let json = to_json(Kind::Cluster.type_url(), &bytes, true);
    assert_eq!(json, message_to_json(&message, Style { proto_names: true, redact: false }));
    assert_eq!(json["eds_cluster_config"], json!({"service_name": "s", "eds_config": {"ads": {}}}));
}
