//! Edge cases: pilot killed under load, a broken object among good ones, an edit among many routes, certificates that
//! live for a minute.

use std::thread;

use crate::Mesh;
use e2e::driven::Driven as _;
use e2e::load::Load;
use e2e::until::eventually;

/// A counter of pilot's metrics, all labels added up.
fn pilot_counter(mesh: &Mesh, name: &str) -> f64 {
    let text = mesh.pilot_metrics();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A proxy has the rules of bookinfo, and there is nothing that pilot would still send it.
fn has_all(mesh: &Mesh, pod: &str) -> Result<(), String> {
    let routes = mesh.ok(&["proxy-config", "routes", pod, "--name", "9080"]);
    if !routes.lines().any(|line| line.split_whitespace().last() == Some("details.default")) {
        return Err(routes);
    }
    let status = mesh.ok(&["proxy-status", pod]);
    let same = ["Clusters Match", "Listeners Match", "Routes Match"].iter().all(|word| status.contains(word));
    if same { Ok(()) } else { Err(status) }
}

#[test]
fn pilot_restarts_under_load() {
    let mesh = Mesh::up(&["bookinfo"]);
    mesh.apply("bookinfo/networking/destination-rule-all.yaml");
    mesh.apply("bookinfo/networking/virtual-service-all-v1.yaml");
    for app in ["details", "productpage", "ratings", "reviews"] {
        for pod in mesh.pods(&format!("app={app}")) {
            eventually("the rules are in force", || has_all(&mesh, &pod));
        }
    }
    let load = Load::start(mesh.http, "localhost", "/productpage");
    load.more(20);
    mesh.kill_pilot();
    load.more(50);
    let connected = || pilot_counter(&mesh, "pilot_xds{");
    eventually("every proxy is back", || match connected() {
        n if n >= 7.0 => Ok(()),
        n => Err(format!("{n} connected")),
    });
    load.more(50);
    load.finish();
    let sent = "pilot_xds_resources_sent";
    let endpoints = pilot_counter(&mesh, &format!("{sent}{{type=\"eds\""));
    assert_eq!(
        pilot_counter(&mesh, sent) - endpoints,
        0.0,
        "proxies hold the current versions: nothing is sent"
    );
    // A new pod has another address: each proxy learns of the four ports of istiod itself that nobody is there, and who is.
    let moved = if Mesh::ON_LAPTOP { 0.0 } else { 2.0 * 4.0 * connected() };
    assert!(endpoints <= moved, "endpoints of {endpoints} clusters were sent");
}

#[test]
fn a_broken_object_among_good_ones() {
    let mesh = Mesh::up(&["bookinfo"]);
    mesh.apply("bookinfo/networking/destination-rule-all.yaml");
    let file = mesh.file(
        "three.yaml",
        r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v3}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - route: [{destination: {host: ratings, subset: v1}}]
    timeout: soon
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http: [{fault: {abort: {percentage: {value: 100}, httpStatus: 555}}, route: [{destination: {host: details, subset: v1}}]}]
"#,
    );
    let output = mesh.meshctl(&["apply", "-f", &file]);
    assert!(!output.success, "{output}");
    let told = format!("{}{}", output.stdout, output.stderr);
    if Mesh::ON_LAPTOP {
        // An API server knows neither.
        assert!(told.contains("three.yaml:15") && told.contains("soon"), "{output}");
    }
    for part in ["ratings", "spec.http[0].timeout"] {
        assert!(told.contains(part), "the message says {part}: {output}");
    }
    eventually("the good ones are in force", || {
        let page = mesh.get("/productpage");
        let red = page.body.contains("text-red-500");
        if red && page.body.contains("Error fetching product details") {
            Ok(())
        } else {
            Err(page.to_string())
        }
    });
    assert!(!mesh.ok(&["get", "virtualservices"]).contains("ratings"));
}

#[test]
fn an_edit_among_many_routes_keeps_connections() {
    // Names that only the mesh knows: a cluster's pods ask their proxy only where this says so.
    let capture = "defaultConfig:\n  proxyMetadata:\n    ISTIO_META_DNS_CAPTURE: \"true\"";
    let mesh = Mesh::up_with(capture, &["httpbin/httpbin.yaml", "curl"]);
    // One entry for many names: what is many here is routes, and an API server takes its time for each object.
    let hosts: Vec<String> = (0..300).map(|number| format!("s{number}.example.com")).collect();
    let mut text = String::new();
    for (number, hosts) in hosts.chunks(150).enumerate() {
        text.push_str(&format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: many-{number}}}\nspec:\n  hosts: [{}]\n  \
             ports: [{{number: 80, name: http, protocol: HTTP}}]\n  resolution: STATIC\n  endpoints: [{{address: 10.200.0.1}}]\n",
            hosts.join(", ")
        ));
    }
    for (number, host) in hosts.iter().enumerate() {
        text.push_str(&format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s{number}}}\nspec:\n  hosts: [{host}]\n  \
             http: [{{directResponse: {{status: 204}}}}]\n"
        ));
    }
    mesh.apply_text("many.yaml", &text);
    let status = |host: &str, want: &str| {
        let url = format!("http://{host}/");
        eventually("the route is in force", || {
            let output = mesh.exec("curl", "curl", &["mesh-samples", "http", "-v", &url]);
            let told = format!("{}{}", output.stdout, output.stderr);
            if told.contains(want) { Ok(()) } else { Err(output.to_string()) }
        });
    };
    status("s299.example.com", "204");
    let ask = ["mesh-samples", "http", "http://httpbin:8000/get"];
    for _ in 0..10 {
        assert!(mesh.exec("curl", "curl", &ask).success);
    }
    let opened = || {
        let text = mesh.metrics("curl");
        let cluster = "cluster_name=\"outbound|8000||httpbin.default.svc.cluster.local\"";
        let line = text
            .lines()
            .find(|line| line.starts_with("envoy_cluster_upstream_cx_total{") && line.contains(cluster));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("no counter in {text}"))
    };
    let before = opened();
    mesh.apply_text(
        "edit.yaml",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: s7}\nspec:\n  hosts: [s7.example.com]\n  \
         http: [{directResponse: {status: 418}}]\n",
    );
    status("s7.example.com", "418");
    for _ in 0..10 {
        assert!(mesh.exec("curl", "curl", &ask).success);
    }
    assert_eq!(opened(), before, "connections to a cluster that did not change are kept");
}

#[test]
fn certificates_rotate_under_load() {
    let short = "defaultConfig:\n  proxyMetadata:\n    SECRET_TTL: 60s";
    let mesh = Mesh::up_with(short, &["bookinfo"]);
    let pod = mesh.pods("app=details").remove(0);
    let certificate = || -> String {
        let text = mesh.ok(&["proxy-config", "secret", &pod, "-o", "json"]);
        let page: serde_json::Value = serde_json::from_str(&text).unwrap();
        let secrets = page["dynamicActiveSecrets"].as_array().unwrap();
        let own =
            secrets.iter().find(|secret| secret["name"] == "default").expect("its certificate is active");
        own["secret"]["tlsCertificate"]["certificateChain"].to_string()
    };
    eventually("the mesh answers", || match mesh.get("/productpage").status {
        200 => Ok(()),
        other => Err(other),
    });
    let first = certificate();
    let load = Load::start(mesh.http, "localhost", "/productpage");
    // Half of a minute, with jitter: wait for it twice.
    let second = eventually_slowly("a new certificate", certificate, &first);
    eventually_slowly("another one", certificate, &second);
    load.more(20);
    load.finish();
}

/// Waits up to two minutes for an answer that is not `old`.
fn eventually_slowly(what: &str, ask: impl Fn() -> String, old: &str) -> String {
    for _ in 0..240 {
        let now = ask();
        if now != old {
            return now;
        }
        thread::sleep(std::time::Duration::from_millis(500));
    }
    panic!("{what}: not within two minutes");
}
