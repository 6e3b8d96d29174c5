//! Mutual TLS migration: PERMISSIVE takes plain text from a pod without a sidecar, STRICT does not.

use crate::Mesh;
use e2e::driven::Driven as _;
use e2e::until::eventually;

const STRICT: &str = r#"
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"#;

const LEGACY: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: legacy, labels: {istio-injection: disabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: curl, namespace: legacy}
spec:
  selector: {matchLabels: {app: curl}}
  template:
    metadata: {labels: {app: curl}}
    spec:
      containers: [{name: curl, image: "curlimages/curl:8.16.0", command: [/bin/sleep, infinity]}]
"#;

const ASK: [&str; 5] = ["mesh-samples", "http", "-o", "/dev/stdout", "http://httpbin.default:8000/headers"];

#[test]
fn mutual_tls_migration() {
    let mesh = Mesh::up(&["httpbin/httpbin.yaml", "curl"]);
    mesh.apply_text("legacy.yaml", LEGACY);
    let legacy =
        || mesh.meshctl(&[&["exec", "-n", "legacy", "deploy/curl", "-c", "curl", "--"], &ASK[..]].concat());
    eventually("plain text is taken while permissive", || {
        let output = legacy();
        if output.success && output.stdout.contains("\"headers\"") { Ok(()) } else { Err(output.to_string()) }
    });
    assert!(!legacy().stdout.contains("X-Forwarded-Client-Cert"), "no identity without a certificate");
    let inside = || mesh.exec("curl", "curl", &ASK);
    let output = eventually("the pod with a sidecar is served", || {
        let output = inside();
        if output.success { Ok(output) } else { Err(output.to_string()) }
    });
    assert!(
        output.stdout.contains("URI=spiffe://cluster.local/ns/default/sa/curl"),
        "mutual TLS says who called: {output}"
    );
    mesh.apply_text("strict.yaml", STRICT);
    eventually("plain text is refused", || {
        let output = legacy();
        // 56: the connection was reset while an answer was awaited; 52: it was closed.
        if matches!(output.code, Some(56 | 52)) { Ok(()) } else { Err(output.to_string()) }
    });
    assert!(inside().success, "mutual TLS goes on");
}
