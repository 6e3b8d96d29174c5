//! Two data planes, one config. Each case file holds objects and calls; both planes are asked the same, and must give
//! the same status, headers, upstream and response flags. What may differ is listed here and nowhere else.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

mod samples;

use std::collections::BTreeMap;
use std::path::Path;

use e2e::client::{Ask, Reply};
use e2e::origin::{self, Origin};
use e2e::planes::{Plane, Planes};
use e2e::until::eventually;
use serde::Deserialize;

/// Headers whose values are each plane's own: they must be there on both sides or on neither.
///
/// `x-forwarded-for`: for a client on loopback Envoy writes the address that it takes for its machine's.
const VALUE_MAY_DIFFER: &[&str] = &[
    "date",
    "x-request-id",
    "x-envoy-upstream-service-time",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-forwarded-for",
];

/// Differences that are allowed, each with its reason. Kept as short as it can be.
const MAY_BE_MISSING: &[(&str, &str)] = &[
    (
        "x-envoy-decorator-operation",
        "sent by Envoy only where a route names an operation and tracing is configured",
    ),
    ("x-envoy-peer-metadata", "Istio's exchange between proxies, which a stock Envoy cannot load"),
    ("x-envoy-peer-metadata-id", "the same"),
    ("connection", "both close, since the client asks for it; only one of the two has to say so"),
];

#[derive(Deserialize)]
struct Calls {
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default = "get")]
    method: String,
    #[serde(default = "host")]
    host: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    /// What both must answer; without it, only that they agree.
    status: Option<u16>,
    /// How often; for weights, where the calls are compared by their sum.
    #[serde(default = "once")]
    times: usize,
}

impl Call {
    /// The body LARGE is more than any buffer on the way holds, and less than a replay keeps.
    fn grown(mut self) -> Self {
        if self.body == "LARGE" {
            self.body = "0123456789abcdef".repeat(40_000);
        }
        self
    }
}

fn get() -> String {
    "GET".into()
}

fn host() -> String {
    "app.example.com".into()
}

fn once() -> usize {
    1
}

fn case(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planes/cases").join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (objects, calls) = text.split_once("\n# Calls\n").expect("a case has a line `# Calls`");
    let calls: Calls = serde_saphyr::from_str(calls).unwrap_or_else(|error| panic!("{name}: {error}"));
    let calls = Calls { calls: calls.calls.into_iter().map(Call::grown).collect() };
    assert!(!calls.calls.is_empty(), "{name}: a case without calls is no case");
    let origins: Vec<Origin> = ["a", "b"].map(origin::start).into();
    let mut planes = Planes::start(&format!("{COMMON}\n{objects}"), &origins);
    settled(&mut planes);
    let mut wrong = Vec::new();
    for call in &calls.calls {
        if call.times == 1 {
            one(&mut planes, call, &mut wrong);
        } else {
            many(&mut planes, call, &mut wrong);
        }
    }
    logs(&planes, &calls, &mut wrong);
    no_nack(&planes, &mut wrong);
    assert!(wrong.is_empty(), "{name}: the planes differ\n{}", wrong.join("\n"));
}

/// The virtual host `ready.example.com` is in every case: when both answer 299, both have the routes.
fn settled(planes: &mut Planes) {
    eventually("both planes have their routes", || {
        let replies = planes.ask(&Ask::get("/").host("ready.example.com"));
        let ready = replies.iter().all(|(_, reply)| reply.as_ref().is_ok_and(|reply| reply.status == 299));
        if ready { Ok(()) } else { Err(format!("{replies:?}")) }
    });
}

fn send(planes: &mut Planes, call: &Call) -> [(Plane, Result<Reply, String>); 2] {
    let headers: Vec<(&str, &str)> = call.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    planes.ask(&Ask {
        method: &call.method,
        path: &call.path,
        host: &call.host,
        headers: &headers,
        body: &call.body,
        // Many calls share a connection; a single one ends its own.
        keep: call.times > 1,
    })
}

fn one(planes: &mut Planes, call: &Call, wrong: &mut Vec<String>) {
    let [(_, envoy), (_, ours)] = send(planes, call);
    let what = format!("{} {}{}", call.method, call.host, call.path);
    let (envoy, ours) = match (envoy, ours) {
        (Ok(envoy), Ok(ours)) => (envoy, ours),
        (Err(_), Err(_)) if call.status.is_none() => return,
        (envoy, ours) => {
            wrong.push(format!("{what}: envoy {envoy:?}, ours {ours:?}"));
            return;
        }
    };
    for (plane, reply) in [("envoy", &envoy), ("ours", &ours)] {
        if call.status.is_some_and(|status| status != reply.status) {
            wrong.push(format!("{what}: {plane} answers {}, not {:?}", reply.status, call.status));
        }
    }
    if envoy.status != ours.status {
        wrong.push(format!("{what}: envoy {envoy}\n   ours {ours}"));
        return;
    }
    let (seen_envoy, seen_ours) = (envoy.json(), ours.json());
    let (mut sent_envoy, mut sent_ours) = (envoy.headers.clone(), ours.headers.clone());
    if seen_envoy["origin"].is_string() || call.method == "HEAD" || envoy.status == 304 {
        // The origin tells what it saw, which is longer by the headers that may differ.
        sent_envoy.remove("content-length");
        sent_ours.remove("content-length");
    }
    compare(&format!("{what}: response"), &sent_envoy, &sent_ours, wrong);
    if seen_envoy["origin"].is_string() && seen_ours["origin"].is_string() {
        for field in ["origin", "method", "path", "body"] {
            if seen_envoy[field] != seen_ours[field] {
                wrong.push(format!(
                    "{what}: upstream {field}: envoy {}, ours {}",
                    seen_envoy[field], seen_ours[field]
                ));
            }
        }
        compare(&format!("{what}: upstream"), &pairs(&seen_envoy), &pairs(&seen_ours), wrong);
    } else if envoy.body != ours.body {
        wrong.push(format!("{what}: body: envoy {:?}, ours {:?}", envoy.body, ours.body));
    }
}

/// Header pairs that an origin saw.
fn pairs(seen: &serde_json::Value) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for pair in seen["headers"].as_array().into_iter().flatten() {
        let (name, value) = (pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
        let entry = map.entry(name.to_string()).or_default();
        if !entry.is_empty() {
            entry.push(',');
        }
        // The port in Host is each plane's own.
        entry.push_str(value);
    }
    map
}

fn compare(
    what: &str,
    envoy: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
    wrong: &mut Vec<String>,
) {
    let names: std::collections::BTreeSet<&String> = envoy.keys().chain(ours.keys()).collect();
    for name in names.into_iter().filter(|name| *name != "x-plane") {
        let (a, b) = (envoy.get(name), ours.get(name));
        let excused = MAY_BE_MISSING.iter().any(|(excused, _)| excused == name);
        match (a, b) {
            (Some(_), Some(_)) if VALUE_MAY_DIFFER.contains(&name.as_str()) => {}
            (Some(a), Some(b)) if a == b => {}
            (None, _) | (_, None) if excused => {}
            _ => wrong.push(format!("{what} header {name}: envoy {a:?}, ours {b:?}")),
        }
    }
}

/// Weights and fractions: the shares of statuses and origins must be close on both sides.
fn many(planes: &mut Planes, call: &Call, wrong: &mut Vec<String>) {
    let mut tally: BTreeMap<(Plane, u16, String), usize> = BTreeMap::new();
    for _ in 0..call.times {
        for (plane, reply) in send(planes, call) {
            let reply = reply.unwrap_or_else(|error| panic!("{plane:?}: {error}"));
            let origin = reply.json()["origin"].as_str().unwrap_or("-").to_string();
            *tally.entry((plane, reply.status, origin)).or_default() += 1;
        }
    }
    let mut keys: Vec<(u16, String)> =
        tally.keys().map(|(_, status, origin)| (*status, origin.clone())).collect();
    keys.sort();
    keys.dedup();
    for (status, origin) in keys {
        let count = |plane| tally.get(&(plane, status, origin.clone())).copied().unwrap_or(0) as f64;
        let (envoy, ours) = (count(Plane::Envoy), count(Plane::Ours));
        // Two draws of n with share p differ by sqrt(2np(1-p)); six of those is never seen by chance.
        let n = call.times as f64;
        let p = ((envoy + ours) / (2.0 * n)).clamp(0.01, 0.99);
        if (envoy - ours).abs() > 6.0 * (2.0 * n * p * (1.0 - p)).sqrt() {
            wrong.push(format!("{}: {status} from {origin}: envoy {envoy}, ours {ours} of {n}", call.path));
        }
    }
}

/// Response flags, details and upstream cluster, line by line of the two access logs.
fn logs(planes: &Planes, calls: &Calls, wrong: &mut Vec<String>) {
    let single = |plane| -> Vec<String> {
        planes
            .access_log(plane)
            .iter()
            .filter(|line| !line.contains("ready.example.com"))
            .filter_map(|l| facts(l))
            .collect()
    };
    let expected: usize = calls.calls.iter().map(|call| call.times).sum();
    let both = eventually("both logs have every call", || {
        let (envoy, ours) = (single(Plane::Envoy), single(Plane::Ours));
        if envoy.len() >= expected && ours.len() >= expected {
            Ok((envoy, ours))
        } else {
            Err(format!(
                "envoy {} lines, ours {}, {expected} calls\n{envoy:#?}\n{ours:#?}",
                envoy.len(),
                ours.len()
            ))
        }
    });
    if calls.calls.iter().any(|call| call.times > 1) {
        return;
    }
    let (mut envoy, mut ours) = both;
    envoy.sort();
    ours.sort();
    for (a, b) in envoy.iter().zip(&ours) {
        if a != b {
            wrong.push(format!("access log\n   envoy {a}\n   ours  {b}"));
        }
    }
}

/// Of Istio's text line: request, status, flags, details, route name, upstream cluster.
fn facts(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let (status, flags, details) = (fields.first()?, fields.get(1)?, fields.get(2)?);
    let cluster = rest.rsplit('"').next()?.trim().split(' ').next()?;
    let route = line.rsplit(' ').next()?;
    Some(format!("{request} | {status} | {flags} | {details} | {cluster} | {route}"))
}

/// Neither plane may have refused anything.
fn no_nack(planes: &Planes, wrong: &mut Vec<String>) {
    for kind in ["cluster_manager.cds", "listener_manager.lds"] {
        for plane in [Plane::Envoy, Plane::Ours] {
            let stats = planes
                .admin(plane, "/stats")
                .map(|reply| reply.body)
                .unwrap_or_else(|error| panic!("{error}"));
            let rejected =
                stats.lines().filter(|line| line.contains("update_rejected") && !line.ends_with(" 0"));
            let rejected: Vec<&str> = rejected.collect();
            if !rejected.is_empty() {
                wrong.push(format!("{plane:?} refused {kind}: {rejected:?}"));
            }
        }
    }
}

/// Two origins as services of the mesh, and the host that says that routes have arrived.
const COMMON: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: ORIGIN_A_PORT}, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b, namespace: default}
spec:
  hosts: [b.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: ORIGIN_B_PORT}, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ready, namespace: default}
spec:
  hosts: [ready.example.com]
  gateways: GATEWAYS
  http: [{directResponse: {status: 299}}]
---
"#;

macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test] fn $name() { case(stringify!($name)); })*

        #[test]
        fn every_case_file_is_run() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planes/cases");
            let mut files: Vec<String> = std::fs::read_dir(folder).unwrap().flatten()
                .map(|entry| entry.path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
            files.sort();
            let mut known = vec![$(stringify!($name).to_string(),)*];
            known.sort();
            assert_eq!(files, known);
        }
    };
}

cases! { matches rewrites redirects headers faults retries timeouts weights cors missing mirrors methods paths bodies hashes }
