//! Cases of requests: each file in `cases` holds objects, a line `# Calls`, and calls. Both planes are asked the same, and
//! must give the same status, headers, trailers, upstream request and log line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use e2e::client::{Ask, Reply};
use e2e::planes::{Plane, Planes};
use serde::Deserialize;

use crate::differences::DIFFERENCES;
use crate::{raw, stage};

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    calls: Vec<Call>,
    #[serde(default)]
    raw: Vec<raw::Talk>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// The row of `docs/differences.md` that says how they differ.
    differs: Option<String>,
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

/// Runs a case file.
pub(crate) fn case(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planes/cases").join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (objects, calls) = text.split_once("\n# Calls\n").expect("a case has a line `# Calls`");
    let case: Case = serde_saphyr::from_str(calls).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!case.calls.is_empty() || !case.raw.is_empty(), "{name}: a case without calls is no case");
    let (mut planes, origins) = stage::start(objects);
    let mut wrong = Vec::new();
    let (mut lines, mut differ, mut counted) = (0, 0, false);
    for call in case.calls.into_iter().map(Call::grown) {
        lines += call.times;
        differ += usize::from(call.differs.is_some());
        counted |= call.times > 1;
        if call.times == 1 {
            one(&mut planes, &call, &mut wrong);
        } else {
            many(&mut planes, &call, &mut wrong);
        }
    }
    // What a plane forwards of such a connection is as many lines as it makes of it.
    differ += 2 * case.raw.iter().filter(|talk| talk.differs.is_some()).count();
    lines += raw::Talk::all(&case.raw, &planes, &origins, &mut wrong);
    let [envoy, ours] = stage::logs(&planes, lines);
    // Draws differ in their sum, and the sum was judged.
    if !counted {
        compare_logs(&envoy, &ours, differ, &mut wrong);
    }
    stage::no_nack(&planes, &mut wrong);
    assert!(wrong.is_empty(), "{name}: the planes differ\n{}", wrong.join("\n"));
}

/// Lines that only one side has, beyond those of calls that differ anyway.
pub(crate) fn compare_logs(envoy: &[String], ours: &[String], excused: usize, wrong: &mut Vec<String>) {
    let mut only_ours = ours.to_vec();
    let mut only_envoy = Vec::new();
    for line in envoy {
        match only_ours.iter().position(|other| other == line) {
            Some(at) => drop(only_ours.remove(at)),
            None => only_envoy.push(line.clone()),
        }
    }
    if only_envoy.len().max(only_ours.len()) > excused {
        wrong.push(format!(
            "access logs, {excused} lines may differ\n   envoy {only_envoy:#?}\n   ours  {only_ours:#?}"
        ));
    }
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
    let mut found = Vec::new();
    let statuses = [&envoy, &ours].map(|reply| reply.as_ref().ok().map(|reply| reply.status));
    match (&envoy, &ours) {
        (Ok(envoy), Ok(ours)) => replies(&what, &call.method, envoy, ours, &mut found),
        (Err(_), Err(_)) if call.status.is_none() => {}
        (envoy, ours) => found.push(format!("{what}: envoy {envoy:?}, ours {ours:?}")),
    }
    if let Some(name) = &call.differs {
        wrong.extend(DIFFERENCES.judge(name, statuses, &found).map(|why| format!("{what}: {why}")));
        return;
    }
    wrong.append(&mut found);
    for (plane, status) in ["envoy", "ours"].iter().zip(statuses) {
        if call.status.is_some() && call.status != status {
            wrong.push(format!("{what}: {plane} answers {status:?}, not {:?}", call.status));
        }
    }
}

/// Compares two answers, and what the origin saw where it answered.
pub(crate) fn replies(what: &str, method: &str, envoy: &Reply, ours: &Reply, wrong: &mut Vec<String>) {
    if envoy.status != ours.status {
        wrong.push(format!("{what}: envoy {envoy}\n   ours {ours}"));
        return;
    }
    let (seen_envoy, seen_ours) = (envoy.json(), ours.json());
    let (mut sent_envoy, mut sent_ours) = (envoy.headers.clone(), ours.headers.clone());
    if seen_envoy["origin"].is_string() || method == "HEAD" || envoy.status == 304 {
        // The origin tells what it saw, which is longer by the headers that may differ.
        sent_envoy.remove("content-length");
        sent_ours.remove("content-length");
    }
    headers(&format!("{what}: response"), &sent_envoy, &sent_ours, wrong);
    headers(&format!("{what}: trailers"), &envoy.trailers, &ours.trailers, wrong);
    if envoy.interim != ours.interim {
        wrong.push(format!("{what}: interim: envoy {:?}, ours {:?}", envoy.interim, ours.interim));
    }
    if seen_envoy["origin"].is_string() && seen_ours["origin"].is_string() {
        for field in ["origin", "method", "path", "body"] {
            let (a, b) = (plain(&seen_envoy[field]), plain(&seen_ours[field]));
            if a != b {
                wrong.push(format!("{what}: upstream {field}: envoy {a}, ours {b}"));
            }
        }
        headers(&format!("{what}: upstream"), &pairs(&seen_envoy), &pairs(&seen_ours), wrong);
    } else if envoy.body != ours.body {
        wrong.push(format!("{what}: body: envoy {:?}, ours {:?}", envoy.body, ours.body));
    }
}

/// The planes are told apart by a path segment where they cannot be by a header.
fn plain(value: &serde_json::Value) -> String {
    raw::without_plane(value.as_str().unwrap_or_default())
}

/// Header pairs that an origin saw.
pub(crate) fn pairs(seen: &serde_json::Value) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for pair in seen["headers"].as_array().into_iter().flatten() {
        let (name, value) = (pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
        let entry = map.entry(name.to_string()).or_default();
        if !entry.is_empty() {
            entry.push(',');
        }
        entry.push_str(value);
    }
    map
}

/// Compares headers by what `docs/differences.md` says of them.
pub(crate) fn headers(
    what: &str,
    envoy: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
    wrong: &mut Vec<String>,
) {
    let names: BTreeSet<&String> = envoy.keys().chain(ours.keys()).collect();
    for name in names.into_iter().filter(|name| *name != "x-plane") {
        let (a, b) = (envoy.get(name), ours.get(name));
        let excused = DIFFERENCES.excuses_header(name, a.map(String::as_str), b.map(String::as_str));
        if a.map(|a| raw::without_plane(a)) != b.map(|b| raw::without_plane(b)) && !excused {
            wrong.push(format!("{what} header {name}: envoy {a:?}, ours {b:?}"));
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
    let keys: BTreeSet<(u16, String)> =
        tally.keys().map(|(_, status, origin)| (*status, origin.clone())).collect();
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
