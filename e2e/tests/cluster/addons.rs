//! The addons of `samples/addons` beside the mesh: a real Prometheus with the manifest's rules and rights, asked every
//! expression of every dashboard; a real Zipkin, asked for the way of a request.
//!
//! `cargo xtask test addons` fetches both, makes images of them and runs these tests; no other run has the images.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Mesh;
use e2e::client::Ask;
use e2e::cluster::{kubeconfig, kubectl};
use e2e::driven::Driven as _;
use e2e::installed::meshctl;
use e2e::programs::{program, sample};
use e2e::until::eventually;

/// Every sample is 15 s apart in the manifest, and a rate needs two that have the traffic.
const SCRAPED: Duration = Duration::from_secs(150);

/// The image that `cargo xtask test addons` makes of the published program, beside the sample that has its name.
const ZIPKIN: &str = "zipkin=localhost/zipkin:3.5.1";

/// `GET` of a service's page through the API server.
fn page(service: &str, path: &str) -> Result<Value, String> {
    let url = format!("/api/v1/namespaces/istio-system/services/{service}/proxy{path}");
    let told = kubectl(&["get", "--raw", &url]);
    serde_json::from_str(&told.stdout).map_err(|_| format!("{url}: {told}"))
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

/// Values of an expression's answer; several numbers where the answer is a vector.
fn ask(expression: &str) -> Result<Vec<f64>, String> {
    let answer = page("prometheus:9090", &format!("/api/v1/query?query={}", encoded(expression)))?;
    if answer["status"] != "success" {
        return Err(answer.to_string());
    }
    let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    Ok(result.iter().filter_map(|one| one["value"][1].as_str()?.parse().ok()).collect())
}

/// What a dashboard puts in for its variables, so wide that every service and workload is meant.
fn filled(expression: &str, variables: &BTreeSet<String>) -> String {
    let mut text = expression.replace("[$__rate_interval]", "[1m]");
    // The longest name first: no name may be taken for the beginning of another.
    let mut names: Vec<&String> = variables.iter().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        text = text.replace(&format!("${name}"), if name == "qrep" { "source|destination" } else { ".*" });
    }
    assert!(!text.contains('$'), "a variable that the dashboard does not have: {text}");
    text
}

/// One thing that must have an answer.
struct Question {
    /// Dashboard, panel, expression.
    of: String,
    expression: String,
    /// The panel itself says when there is nothing to divide by.
    may_be_nan: bool,
}

fn dashboards() -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = std::fs::read_dir(sample("addons/dashboards"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for (file, board) in dashboards() {
        let list = board["templating"]["list"].as_array().unwrap();
        let variables: BTreeSet<String> =
            list.iter().map(|v| v["name"].as_str().unwrap().to_owned()).collect();
        for variable in list.iter().filter(|v| v["type"] == "query") {
            let query = variable["definition"].as_str().unwrap();
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (series, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap();
            let expression = filled(&format!("count by ({label}) ({series})"), &variables);
            all.push(Question { of: format!("{file}: variable: {query}"), expression, may_be_nan: false });
        }
        for panel in board["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            let may_be_nan = panel["description"].as_str().is_some_and(|text| text.contains("not a number"));
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = target["expr"].as_str().unwrap();
                let of = format!("{file}: {title}: {expression}");
                all.push(Question { of, expression: filled(expression, &variables), may_be_nan });
            }
        }
    }
    assert!(all.len() > 100, "{} expressions", all.len());
    all
}

impl Question {
    fn answered(&self) -> Result<(), String> {
        let values = ask(&self.expression)?;
        match values.iter().any(|value| value.is_finite()) {
            true => Ok(()),
            false if self.may_be_nan && !values.is_empty() => Ok(()),
            false => Err(format!("{values:?}")),
        }
    }
}

/// An object that the webhook refuses, so that refusals are counted.
const WRONG: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
    metadata: {name: wrong, namespace: default}\nspec: {hosts: [a], http: [{}]}\n";

#[test]
#[ignore = "needs an image of Prometheus: cargo xtask test addons"]
fn every_panel_of_every_dashboard_has_data() {
    let mesh = Mesh::up(&["bookinfo", "tcp-echo/tcp-echo-services.yaml", "curl"]);
    mesh.apply("addons/prometheus.yaml");
    mesh.ok(&["rollout", "status", "deploy/prometheus", "-n", "istio-system", "--timeout=120s"]);
    let wrong = mesh.file("wrong.yaml", WRONG);
    let over = AtomicBool::new(false);
    let mut missing = questions();
    std::thread::scope(|scope| {
        scope.spawn(|| traffic(&mesh, &wrong, &over));
        let start = Instant::now();
        let mut last = BTreeMap::new();
        while !missing.is_empty() && start.elapsed() < SCRAPED {
            missing.retain(|question| match question.answered() {
                Ok(()) => false,
                Err(why) => {
                    last.insert(question.of.clone(), why);
                    true
                }
            });
            std::thread::sleep(Duration::from_secs(1));
        }
        over.store(true, Ordering::Relaxed);
        let told: Vec<String> =
            missing.iter().map(|question| format!("{}\n    {}", question.of, last[&question.of])).collect();
        assert!(told.is_empty(), "no data after {SCRAPED:?}:\n{}", told.join("\n"));
    });
    every_target_is_up();
    opened(&["dashboard", "prometheus"], "/-/ready");
    let told = meshctl(&["x", "metrics", "productpage-v1.default"]);
    assert!(told.success && told.stdout.contains("productpage-v1"), "{told}");
}

/// Requests, TCP, changes of configuration and refused objects, until it is over.
fn traffic(mesh: &Mesh, wrong: &str, over: &AtomicBool) {
    let rule = sample("bookinfo/networking/destination-rule-reviews.yaml");
    let mut rounds = 0_u32;
    while !over.load(Ordering::Relaxed) {
        mesh.get("/productpage");
        mesh.get("/no-such-page");
        mesh.exec("curl", "curl", &["mesh-samples", "tcp", "tcp-echo", "9000", "hello"]);
        if rounds.is_multiple_of(10) {
            let word = if rounds.is_multiple_of(20) { "apply" } else { "delete" };
            kubectl(&[word, "-f", &rule]);
            assert!(
                !kubectl(&["apply", "-f", wrong]).success,
                "the webhook lets a route without a target in"
            );
        }
        rounds += 1;
    }
    kubectl(&["delete", "-f", &rule, "--ignore-not-found"]);
}

/// Everything that asks to be scraped is found and answers, each pod once.
fn every_target_is_up() {
    let told = page("prometheus:9090", "/api/v1/targets?state=active").unwrap();
    let targets = told["data"]["activeTargets"].as_array().unwrap().clone();
    let mut pods = BTreeMap::new();
    for target in &targets {
        assert_eq!(target["health"], "up", "{target:#}");
        if target["scrapePool"] == "kubernetes-pods" {
            let pod = target["labels"]["pod"].as_str().unwrap().to_owned();
            let again = pods.insert(pod, target["scrapeUrl"].clone());
            assert_eq!(again, None, "{target:#}");
        }
    }
    for (start, url) in [
        ("istiod-", ":15014/metrics"),
        ("istio-ingressgateway-", ":15020/stats/prometheus"),
        ("productpage-v1-", ":15020/stats/prometheus"),
    ] {
        let found = pods.iter().find(|(pod, _)| pod.starts_with(start));
        let (_, at) = found.unwrap_or_else(|| panic!("no target {start}: {pods:#?}"));
        assert!(at.as_str().unwrap().ends_with(url), "{at}");
    }
    assert!(targets.iter().any(|target| target["scrapePool"] == "kubernetes-nodes-cadvisor"), "{told:#}");
}

/// `meshctl dashboard` prints an address at which the addon answers.
fn opened(args: &[&str], path: &str) {
    let mut command = Command::new(program("meshctl"));
    command.args(args).args(["--browser=false"]).env("KUBECONFIG", kubeconfig());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().rsplit(':').next().and_then(|rest| rest.split('/').next()?.parse::<u16>().ok());
    let answer = port.map(|port| {
        eventually("the page of the addon", || Ask::get(path).send(([127, 0, 0, 1], port).into()))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answer.map(|answer| answer.status), Some(200), "{line}");
}

/// A service of bookinfo and who calls it.
const CALLS: [(&str, &str); 4] = [
    ("productpage", "istio-ingressgateway"),
    ("details", "productpage"),
    ("reviews", "productpage"),
    ("ratings", "reviews"),
];

#[test]
#[ignore = "needs an image of Zipkin: cargo xtask test addons"]
fn zipkin_shows_who_called_whom() {
    let settings = "extensionProviders:\n- name: zipkin\n  zipkin: {service: zipkin.istio-system.svc.cluster.local, port: 9411}\n\
        defaultProviders: {tracing: [zipkin]}";
    let mesh = Mesh::up_with(settings, &["bookinfo"]);
    mesh.apply("addons/extras/zipkin.yaml");
    mesh.ok(&["set", "image", "deploy/zipkin", ZIPKIN, "-n", "istio-system"]);
    mesh.ok(&["rollout", "status", "deploy/zipkin", "-n", "istio-system", "--timeout=120s"]);
    mesh.apply("bookinfo/networking/destination-rule-all.yaml");
    mesh.apply("bookinfo/networking/virtual-service-reviews-v3.yaml");
    let trace = eventually("a whole trace in Zipkin", || {
        mesh.get("/productpage");
        // What the gateway began, not what a probe or another page did.
        let name = "istio-ingressgateway.istio-system";
        let traces = page("zipkin:9411", &format!("/api/v2/traces?serviceName={name}&limit=100"))?;
        let mut why = format!("no trace of {name}");
        for trace in traces.as_array().into_iter().flatten() {
            match connected(trace.as_array().map_or(&[][..], Vec::as_slice)) {
                Ok(()) => return Ok(trace.clone()),
                Err(missing) => why = format!("{missing} in {trace:#}"),
            }
        }
        Err(why)
    });
    let spans = trace.as_array().unwrap();
    let page_span = spans.iter().find(|span| service(span).starts_with("istio-ingressgateway")).unwrap();
    assert_eq!(page_span["tags"]["http.status_code"], "200", "{page_span:#}");
    assert_eq!(page_span["tags"]["istio.canonical_service"], "istio-ingressgateway", "{page_span:#}");
    opened(&["dashboard", "zipkin"], "/health");
}

fn service(span: &Value) -> &str {
    span["localEndpoint"]["serviceName"].as_str().unwrap_or_default()
}

/// One trace id, one beginning, every span's parent known, and every service called by whom it should be.
fn connected(spans: &[Value]) -> Result<(), String> {
    let beginnings = spans.iter().filter(|span| span["parentId"].is_null() && span["shared"] != true).count();
    if beginnings != 1 {
        return Err(format!("{beginnings} beginnings"));
    }
    if spans.iter().any(|span| span["traceId"] != spans[0]["traceId"]) {
        return Err("several trace ids".into());
    }
    for (called, caller) in CALLS {
        let from = |span: &Value| service(span).split('.').next().map(str::to_owned);
        let is = |span: &Value, name: &str| from(span).is_some_and(|from| from == name);
        let Some(span) = spans.iter().find(|span| is(span, called) && span["kind"] == "SERVER") else {
            return Err(format!("no span of {called} as a server"));
        };
        // The client's half has the same id, or is the parent.
        let half = spans.iter().find(|other| {
            !is(other, called) && (other["id"] == span["id"] || other["id"] == span["parentId"])
        });
        if !half.is_some_and(|half| is(half, caller)) {
            return Err(format!("{called} is not called by {caller}"));
        }
    }
    Ok(())
}
