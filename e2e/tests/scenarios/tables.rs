//! The tables of proxy-status and proxy-config.

use crate::Mesh;
use e2e::driven::Driven as _;
use e2e::until::eventually;

#[test]
fn tables_of_the_proxies() {
    let mesh = Mesh::up(&["bookinfo"]);
    mesh.get("/productpage");
    let pod = mesh.pods("app=productpage").remove(0);
    let status = eventually("every proxy is listed", || {
        let status = mesh.ok(&["proxy-status"]);
        if status.matches("istiod-").count() >= 7 { Ok(status) } else { Err(status) }
    });
    assert!(status.starts_with("NAME"), "{status}");
    let routes = mesh.ok(&["proxy-config", "routes", &pod, "--name", "9080"]);
    assert!(routes.starts_with("NAME") && routes.contains("VIRTUAL SERVICE"), "{routes}");
    assert!(routes.contains("reviews") && routes.contains("9080"), "{routes}");
    let clusters =
        mesh.ok(&["proxy-config", "clusters", &pod, "--fqdn", "reviews.default.svc.cluster.local"]);
    assert!(clusters.contains("reviews.default.svc.cluster.local") && clusters.contains("EDS"), "{clusters}");
    let endpoints = mesh.ok(&[
        "proxy-config",
        "endpoints",
        &pod,
        "--cluster",
        "outbound|9080||reviews.default.svc.cluster.local",
    ]);
    assert_eq!(endpoints.matches("HEALTHY").count(), 3, "{endpoints}");
    let listeners = mesh.ok(&["proxy-config", "listeners", &pod, "--port", "15001"]);
    assert!(listeners.contains("15001") && listeners.contains("PassthroughCluster"), "{listeners}");
    let secrets = mesh.ok(&["proxy-config", "secret", &pod]);
    assert!(
        secrets.contains("default") && secrets.contains("ROOTCA") && secrets.contains("ACTIVE"),
        "{secrets}"
    );
    let inbound = mesh.ok(&["proxy-config", "routes", &pod]);
    assert!(inbound.contains("inbound|9080||"), "tables of listeners are there, too: {inbound}");
    assert!(!inbound.contains("allow_any"), "{inbound}");
    assert!(mesh.ok(&["proxy-status", &pod]).contains("Routes Match"));
    let json = mesh.ok(&["proxy-config", "routes", &pod, "--name", "9080", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json.is_array(), "{json}");
    let bootstrap = mesh.ok(&["proxy-config", "bootstrap", &pod, "-o", "json"]);
    assert!(bootstrap.contains("\"node\""), "{bootstrap}");
    let log = mesh.ok(&["proxy-config", "log", &pod, "--level", "debug"]);
    assert!(log.contains("debug"), "{log}");
}
