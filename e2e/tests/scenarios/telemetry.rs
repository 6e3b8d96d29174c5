//! Metrics with all labels, access log, one connected trace.

use std::collections::BTreeMap;

use crate::Mesh;
use e2e::client::Ask;
use e2e::driven::Driven as _;
use e2e::until::eventually;

/// The samples of one metric: labels and value.
fn samples(text: &str, metric: &str) -> Vec<(BTreeMap<String, String>, f64)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(metric).and_then(|rest| rest.strip_prefix('{')) else { continue };
        let Some((labels, value)) = rest.rsplit_once("} ") else { continue };
        let mut map = BTreeMap::new();
        for pair in labels.split("\",") {
            if let Some((name, value)) = pair.split_once("=\"") {
                map.insert(name.trim_start_matches(',').to_string(), value.trim_end_matches('"').to_string());
            }
        }
        found.push((map, value.trim().parse().unwrap_or(f64::NAN)));
    }
    found
}

/// Labels of one hop of bookinfo, as both sides must tell them.
fn expected(reporter: &str) -> BTreeMap<String, String> {
    let client = reporter == "source";
    [
        ("reporter", reporter),
        ("source_workload", "productpage-v1"),
        ("source_canonical_service", "productpage"),
        ("source_canonical_revision", "v1"),
        ("source_workload_namespace", "default"),
        ("source_principal", "spiffe://cluster.local/ns/default/sa/bookinfo-productpage"),
        ("source_app", "productpage"),
        ("source_version", "v1"),
        ("source_cluster", "Kubernetes"),
        ("destination_workload", "details-v1"),
        ("destination_workload_namespace", "default"),
        ("destination_principal", "spiffe://cluster.local/ns/default/sa/bookinfo-details"),
        ("destination_app", "details"),
        ("destination_version", "v1"),
        ("destination_service", "details.default.svc.cluster.local"),
        ("destination_canonical_service", "details"),
        ("destination_canonical_revision", "v1"),
        ("destination_service_name", "details"),
        ("destination_service_namespace", "default"),
        ("destination_cluster", "Kubernetes"),
        ("request_protocol", "http"),
        ("response_code", "200"),
        ("grpc_response_status", ""),
        ("response_flags", "-"),
        ("connection_security_policy", if client { "unknown" } else { "mutual_tls" }),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .collect()
}

#[test]
fn standard_http_metrics() {
    let mesh = Mesh::up(&["bookinfo"]);
    for _ in 0..5 {
        assert_eq!(mesh.get("/productpage").status, 200);
    }
    for (deployment, reporter) in [("productpage-v1", "source"), ("details-v1", "destination")] {
        let want = expected(reporter);
        for metric in [
            "istio_requests_total",
            "istio_request_duration_milliseconds_count",
            "istio_request_bytes_count",
            "istio_response_bytes_count",
        ] {
            let text = eventually("five requests are counted", || {
                let text = mesh.metrics(deployment);
                let found = samples(&text, metric);
                match found.iter().find(|(labels, _)| *labels == want) {
                    Some((_, value)) if *value >= 5.0 => Ok(text),
                    other => Err(format!("{metric} {reporter}: {other:?} of {found:#?}")),
                }
            });
            assert!(
                text.contains(&format!("# TYPE {}", metric.trim_end_matches("_count"))),
                "{metric} has a type"
            );
        }
    }
}

#[test]
fn standard_tcp_metrics() {
    let mesh = Mesh::up(&["tcp-echo/tcp-echo-services.yaml", "curl"]);
    let say = ["mesh-samples", "tcp", "tcp-echo", "9000", "hello"];
    eventually("the echo answers", || {
        let output = mesh.exec("curl", "curl", &say);
        if output.stdout.contains("hello") { Ok(()) } else { Err(output.to_string()) }
    });
    for (deployment, reporter) in [("curl", "source"), ("tcp-echo-v1", "destination")] {
        for metric in [
            "istio_tcp_connections_opened_total",
            "istio_tcp_connections_closed_total",
            "istio_tcp_sent_bytes_total",
            "istio_tcp_received_bytes_total",
        ] {
            eventually("the connection is counted", || {
                // Either version may have been picked: call until this one was.
                mesh.exec("curl", "curl", &say);
                let found = samples(&mesh.metrics(deployment), metric);
                let hit = found.iter().find(|(labels, value)| {
                    let is = |name: &str, value: &str| labels.get(name).is_some_and(|v| v == value);
                    *value > 0.0
                        && is("reporter", reporter)
                        && is("request_protocol", "tcp")
                        && is("source_workload", "curl")
                        && is("destination_service", "tcp-echo.default.svc.cluster.local")
                        && labels.get("destination_workload").is_some_and(|w| w.starts_with("tcp-echo-v"))
                        && is("source_principal", "spiffe://cluster.local/ns/default/sa/curl")
                        && !labels.contains_key("response_code")
                });
                if hit.is_some() { Ok(()) } else { Err(format!("{metric} {reporter}: {found:#?}")) }
            });
        }
    }
}

#[test]
fn access_log() {
    let mesh = Mesh::up(&["httpbin/httpbin.yaml", "curl"]);
    let ask = [
        "mesh-samples",
        "http",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "http://httpbin:8000/status/418",
    ];
    eventually("httpbin is a teapot", || {
        let output = mesh.exec("curl", "curl", &ask);
        if output.stdout.contains("418") { Ok(()) } else { Err(output.to_string()) }
    });
    for (deployment, cluster) in
        [("curl", "outbound|8000||httpbin.default.svc.cluster.local"), ("httpbin", "inbound|8080||")]
    {
        eventually("the request is logged", || {
            let log = mesh.logs(deployment, "istio-proxy");
            let line =
                log.lines().find(|line| line.contains("\"GET /status/418 HTTP/1.1\" 418 - via_upstream"));
            match line {
                Some(line) if line.contains(cluster) && line.contains("\"httpbin:8000\"") => Ok(()),
                other => Err(format!("{other:?} in {log}")),
            }
        });
    }
}

/// A Zipkin that keeps the spans it is sent: the collector is a service of the mesh as in Istio's task.
const COLLECTOR: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: zipkin, namespace: istio-system}
spec:
  ports: [{name: http-query, port: 9411}]
  selector: {app: zipkin}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: zipkin, namespace: istio-system}
spec:
  selector: {matchLabels: {app: zipkin}}
  template:
    metadata: {labels: {app: zipkin}, annotations: {sidecar.istio.io/inject: "false"}}
    spec:
      containers: [{name: zipkin, image: "openzipkin/zipkin-slim:3.4", command: [mesh-samples], args: [spans, "9411"]}]
"#;

#[test]
fn one_connected_trace() {
    let settings = "extensionProviders:\n- name: zipkin\n  zipkin: {service: zipkin.istio-system.svc.cluster.local, port: 9411}\n\
        defaultProviders: {tracing: [zipkin]}";
    let mesh = Mesh::up_with(settings, &["bookinfo"]);
    mesh.apply_text("zipkin.yaml", COLLECTOR);
    mesh.apply("bookinfo/networking/destination-rule-all.yaml");
    mesh.apply("bookinfo/networking/virtual-service-reviews-v3.yaml");
    // A trace of its own for each page: what was lost before every proxy knew of the collector stays lost.
    let mine = format!("463ac35c9f6413ad{:08x}", std::process::id());
    let mut asked = 0_u32;
    eventually("a whole trace is collected", || {
        asked += 1;
        let trace = format!("{mine}{asked:08x}");
        let headers =
            [("x-b3-traceid", trace.as_str()), ("x-b3-spanid", "00000000000000aa"), ("x-b3-sampled", "1")];
        let page = mesh.ask(&Ask::get("/productpage").headers(&headers));
        let output = mesh.meshctl(&["logs", "-n", "istio-system", "deploy/zipkin"]);
        let mut traces: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
        for line in output.stdout.lines() {
            let Ok(span) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let Some(id) = span["traceId"].as_str().filter(|id| id.starts_with(&mine)) else { continue };
            traces.entry(id.to_owned()).or_default().push(span);
        }
        let mut why = format!("page {}; no span of any page", page.status);
        for (id, spans) in &traces {
            match connected(spans) {
                Ok(()) => return Ok(()),
                Err(missing) => why = format!("page {}; {id}: {missing}: {spans:#?}", page.status),
            }
        }
        Err(why)
    });
}

/// Every span's parent is a span of the trace, but for the one made by the caller; every service is in it.
fn connected(spans: &[serde_json::Value]) -> Result<(), String> {
    let ids: Vec<&str> = spans.iter().filter_map(|span| span["id"].as_str()).collect();
    for span in spans {
        let parent = span["parentId"].as_str().unwrap_or_default();
        if parent != "00000000000000aa" && !ids.contains(&parent) {
            return Err(format!("a span without its parent: {span}"));
        }
    }
    for service in ["istio-ingressgateway", "productpage", "details", "reviews", "ratings"] {
        let found = spans.iter().any(|span| {
            span["localEndpoint"]["serviceName"].as_str().is_some_and(|name| name.starts_with(service))
        });
        if !found {
            return Err(format!("no span of {service}"));
        }
    }
    Ok(())
}
