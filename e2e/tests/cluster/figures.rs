//! Figures of an installed mesh: what it takes, and how long things last. They are printed and not judged, since they say
//! as much about the machine as about the mesh: `cargo xtask cluster figures`.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Mesh;
use e2e::client::Ask;
use e2e::cluster::kubectl;
use e2e::driven::Driven as _;
use e2e::installed::meshctl;
use e2e::programs::sample;
use e2e::until::eventually;

/// An application beside bookinfo, once without a proxy and once behind gateway and proxy.
const PLAIN: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: plain}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello, namespace: plain}
spec:
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      containers: [{name: hello, image: "docker.io/istio/examples-helloworld-v1:1.0"}]
"#;

#[test]
#[ignore = "prints figures: cargo xtask cluster figures"]
fn figures() {
    let gone = meshctl(&["uninstall", "--purge", "-y"]);
    assert!(gone.success, "{gone}");
    kubectl(&["delete", "namespace", "istio-system", "plain", "--ignore-not-found"]);
    kubectl(&["delete", "deployment,service,virtualservice,gateway", "--all", "-n", "default", "--wait"]);
    let wait = ["wait", "--for=delete", "pod", "--all", "-n", "default", "--timeout=60s"];
    kubectl(&wait);
    fresh_install();
    let mesh = Mesh::up(&["bookinfo", "helloworld/helloworld.yaml"]);
    for _ in 0..50 {
        mesh.get("/productpage");
    }
    memory();
    change(&mesh);
    latency(&mesh);
}

/// From nothing to the first page through the gateway, with ten pods that get a proxy.
fn fresh_install() {
    let start = Instant::now();
    let installed = meshctl(&["install", "--set", "profile=demo", "-y"]);
    assert!(installed.success, "{installed}");
    println!("{:<60} {:>8.2} s", "meshctl install --set profile=demo -y", start.elapsed().as_secs_f64());
    kubectl(&["label", "namespace", "default", "istio-injection=enabled", "--overwrite"]);
    for (flag, path) in [
        ("-k", "bookinfo"),
        ("-f", "helloworld/helloworld.yaml"),
        ("-f", "curl/curl.yaml"),
        ("-f", "httpbin/httpbin.yaml"),
    ] {
        let done = kubectl(&["apply", flag, &sample(path)]);
        assert!(done.success, "{done}");
    }
    let to = e2e::installed::gateway()[0];
    eventually("the first page", || match Ask::get("/productpage").send(to) {
        Ok(page) if page.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let what = "  until the first page through the gateway, ten pods";
    println!("{what:<60} {:>8.2} s", start.elapsed().as_secs_f64());
}

/// Resident memory of the mesh's programs, as this machine's kernel sees them. Another cluster's are told apart by their
/// control group, which has the cluster's name.
fn memory() {
    let cluster =
        std::env::var("MESH_CLUSTER_NAME").map(|name| format!("/mesh-cluster-{name}/")).unwrap_or_default();
    let mut found: Vec<(String, u64)> = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let line = read("cmdline").replace('\0', " ");
        let kind = ["pilot-discovery", "pilot-agent proxy sidecar", "pilot-agent proxy router"];
        let Some(kind) = kind.iter().find(|kind| line.contains(*kind)) else { continue };
        if !read("cgroup").contains(&cluster) {
            continue;
        }
        let status = read("status");
        let rss = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        found.push(((*kind).to_owned(), rss.unwrap_or_default()));
    }
    found.sort();
    for (kind, kib) in found {
        println!("{:<60} {:>8.1} MiB", format!("resident: {kind}"), kib as f64 / 1024.0);
    }
}

/// From the end of `kubectl apply` until the gateway does what it says, twenty times.
fn change(mesh: &Mesh) {
    let mut took = Vec::new();
    for number in 0..20 {
        let status = 400 + number;
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: change}}\nspec:\n  \
             hosts: [change.example.com]\n  gateways: [bookinfo-gateway]\n  http: [{{directResponse: {{status: {status}}}}}]\n"
        );
        mesh.apply_text("change.yaml", &text);
        let start = Instant::now();
        while Ask::get("/").host("change.example.com").send(mesh.http).map_or(0, |reply| reply.status)
            != status
        {
            assert!(start.elapsed() < Duration::from_secs(10), "the change does not arrive");
        }
        took.push(start.elapsed());
    }
    print("kubectl returned -> new behaviour at the gateway", &mut took);
}

/// One connection, one request after the other.
fn latency(mesh: &Mesh) {
    let plain = mesh.file("plain.yaml", PLAIN);
    mesh.ok(&["apply", "-f", &plain]);
    mesh.ok(&["rollout", "status", "-n", "plain", "deployment/hello", "--timeout=60s"]);
    let path = "jsonpath={.items[0].status.podIP}";
    let ip = mesh.ok(&["get", "pods", "-n", "plain", "-o", path]);
    let address: SocketAddr = format!("{ip}:5000").parse().expect("an address");
    mesh.apply_text(
        "hello.yaml",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: hello}\nspec:\n  \
         hosts: [hello.example.com]\n  gateways: [bookinfo-gateway]\n  http: [{route: [{destination: {host: helloworld}}]}]\n",
    );
    let ask = Ask { keep: true, ..Ask::get("/hello").host("hello.example.com") };
    eventually("the gateway forwards", || match mesh.ask(&ask) {
        reply if reply.status == 200 => Ok(()),
        reply => Err(reply),
    });
    for (what, to) in [("no mesh", address), ("gateway and proxy", mesh.http)] {
        let mut stream = TcpStream::connect(to).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let mut took = Vec::new();
        for number in 0..3000 {
            let start = Instant::now();
            let reply = ask.over(&mut stream).expect("an answer");
            assert_eq!(reply.status, 200);
            // The first ones warm up.
            if number >= 500 {
                took.push(start.elapsed());
            }
        }
        print(&format!("one connection, {what}"), &mut took);
    }
    mesh.ok(&["delete", "-f", &plain, "--wait=false"]);
}

fn print(what: &str, took: &mut [Duration]) {
    took.sort();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!("{what:<60} {:>8.2} ms p50 {:>8.2} ms p99", at(50), at(99));
}
