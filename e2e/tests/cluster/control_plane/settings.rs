//! The mesh's settings are edited while a control plane of a revision runs.

use e2e::caller::Caller;
use e2e::cluster::Namespace;
use e2e::control::Control;
use serde_json::json;

#[test]
fn edited_settings_of_a_revision_take_effect_at_once() {
    let control =
        Control::new(&["revision=canary", "meshConfig.discoverySelectors[0].matchLabels.seen=nobody"]);
    let namespace = control.namespace.name().to_owned();
    let other = Namespace::new();
    other.label("seen=somebody");
    other.run(&["create", "service", "clusterip", "first", "--tcp=80:80"]);
    let replica = control.ready("pilot", &[("XDS_AUTH", "false"), ("REVISION", "canary")]);
    let caller = Caller {
        roots: control.key("root-cert.pem").unwrap(),
        host: format!("istiod-canary.{namespace}.svc"),
        ..Caller::default()
    };
    let node = format!("sidecar~10.0.0.1~caller.{namespace}~{namespace}.svc.cluster.local");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut proxy = runtime.block_on(caller.follow(replica.secure, &node)).unwrap();
    let mut told = || {
        let next = async { tokio::time::timeout(e2e::until::LIMIT, proxy.next()).await };
        runtime.block_on(next).expect("a response").unwrap().0
    };
    let before = told();
    assert!(!before.iter().any(|name| name.contains("first")), "{before:?}");
    let mesh = control.namespace.run(&["get", "configmap", "istio-canary", "-o", "jsonpath={.data.mesh}"]);
    let edited = json!({ "data": { "mesh": mesh.replace("nobody", "somebody") } }).to_string();
    control.namespace.run(&["patch", "configmap", "istio-canary", "-p", &edited]);
    let after = told();
    assert!(after.iter().any(|name| name.contains("first")), "{after:?}");
}
