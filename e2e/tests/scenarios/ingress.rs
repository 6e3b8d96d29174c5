//! ingress-control and secure ingress.

use std::process::Command;

use crate::Mesh;
use e2e::client::Ask;
use e2e::driven::Driven as _;
use e2e::until::eventually;

const GATEWAY: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: httpbin-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["httpbin.example.com"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["httpbin.example.com"]
  gateways: [httpbin-gateway]
  http:
  - match: [{uri: {prefix: /status}}, {uri: {prefix: /delay}}]
    route: [{destination: {port: {number: 8000}, host: httpbin}}]
"#;

#[test]
fn ingress_control() {
    let mesh = Mesh::up(&["httpbin/httpbin.yaml"]);
    mesh.apply_text("gateway.yaml", GATEWAY);
    let ok = Ask::get("/status/200").host("httpbin.example.com");
    let reply = eventually("the gateway forwards", || {
        let reply = mesh.ask(&ok);
        if reply.status == 200 { Ok(reply) } else { Err(reply.to_string()) }
    });
    assert_eq!(reply.header("server"), "istio-envoy", "{reply}");
    assert_eq!(mesh.ask(&Ask::get("/headers").host("httpbin.example.com")).status, 404, "a path not exposed");
    assert_eq!(
        mesh.ask(&Ask::get("/status/200").host("other.example.com")).status,
        404,
        "a host not exposed"
    );
    assert_eq!(mesh.ask(&Ask::get("/status/418").host("httpbin.example.com")).status, 418);
}

const SECURE: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: mygateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    tls: {mode: MODE, credentialName: httpbin-credential}
    hosts: [httpbin.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["httpbin.example.com"]
  gateways: [mygateway]
  http:
  - match: [{uri: {prefix: /status}}, {uri: {prefix: /delay}}]
    route: [{destination: {port: {number: 8000}, host: httpbin}}]
"#;

/// Certificates as the task makes them, with openssl: a root, and server and client leaves signed by it.
fn certificates(mesh: &Mesh) {
    let script = r#"set -e
cd "$1"
openssl req -x509 -sha256 -nodes -days 30 -newkey rsa:2048 -subj '/O=example Inc./CN=example.com' -keyout root.key -out root.crt
for name in httpbin client; do
  openssl req -out $name.csr -newkey rsa:2048 -nodes -keyout $name.key -subj "/CN=$name.example.com/O=$name organization"
  printf 'subjectAltName=DNS:%s.example.com\nbasicConstraints=CA:FALSE\n' $name > $name.ext
  openssl x509 -req -sha256 -days 30 -CA root.crt -CAkey root.key -CAcreateserial -in $name.csr -out $name.crt -extfile $name.ext
done"#;
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(mesh.home()).output().expect("sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn secret(mesh: &Mesh, ca: bool) {
    let read = |name: &str| {
        let text = std::fs::read_to_string(mesh.home().join(name)).expect("openssl wrote it");
        text.lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    let mut text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: httpbin-credential, namespace: istio-system}}\n\
         type: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        read("httpbin.crt"),
        read("httpbin.key")
    );
    if ca {
        text.push_str(&format!("  ca.crt: |\n{}", read("root.crt")));
    }
    mesh.apply_text("secret.yaml", &text);
}

/// `GET /status/418` over TLS with openssl; what came back, head included.
fn secure_get(mesh: &Mesh, with_client: bool) -> String {
    let mut command = Command::new("openssl");
    let address = mesh.https.to_string();
    command.args([
        "s_client",
        "-connect",
        &address,
        "-servername",
        "httpbin.example.com",
        "-quiet",
        "-verify_return_error",
    ]);
    command.args(["-verify_hostname", "httpbin.example.com", "-CAfile"]).arg(mesh.home().join("root.crt"));
    if with_client {
        command.arg("-cert").arg(mesh.home().join("client.crt"));
        command.arg("-key").arg(mesh.home().join("client.key"));
    }
    use std::io::Write;
    use std::process::Stdio;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("openssl");
    let request = b"GET /status/418 HTTP/1.1\r\nhost: httpbin.example.com\r\nconnection: close\r\n\r\n";
    // A refused handshake closes the pipe first; the answer below tells.
    child.stdin.as_mut().expect("piped").write_all(request).ok();
    let output = child.wait_with_output().expect("openssl ends");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn secure_ingress() {
    let mesh = Mesh::up(&["httpbin/httpbin.yaml"]);
    certificates(&mesh);
    secret(&mesh, false);
    mesh.apply_text("gateway.yaml", &SECURE.replace("MODE", "SIMPLE"));
    eventually("TLS ends at the gateway", || {
        let answer = secure_get(&mesh, false);
        if answer.contains("HTTP/1.1 418") { Ok(()) } else { Err(answer) }
    });
    secret(&mesh, true);
    mesh.apply_text("gateway.yaml", &SECURE.replace("MODE", "MUTUAL"));
    eventually("a client without a certificate is refused", || {
        let answer = secure_get(&mesh, false);
        if answer.contains("HTTP/1.1") { Err(answer) } else { Ok(()) }
    });
    eventually("a client with one is served", || {
        let answer = secure_get(&mesh, true);
        if answer.contains("HTTP/1.1 418") { Ok(()) } else { Err(answer) }
    });
}
