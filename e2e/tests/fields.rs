//! Every field of every Istio kind, set alone: either what some proxy gets changes, or a finding names the field.
//!
//! The mesh around it is `fields/world.yaml`. What is accepted and not honoured is listed in `docs/unhonoured.md`,
//! which this test compares and `BLESS=1` writes. `FIELD=text` looks at matching fields only and tells what it saw.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use api::fields::{Leaf, leaves, specimen, without};
use api::{AnyObject, Code, Finding, Kind, Severity};
use pilot::offline::Paper;
use pilot::xds::{Memo, Session, View, say};
use serde_json::Value;
use wire::Resource;

/// Proxies that are looked at: client and server, in the namespace and outside of it, a gateway.
const PROXIES: [&str; 4] =
    ["default/client", "default/reviews-v1", "elsewhere/client", "istio-system/gateway"];

/// Names for people, and values that are another word for the default: nothing should change.
const LABELS: [(Kind, &str); 7] = [
    (Kind::Gateway, "servers[].name"),
    // HTTP, HTTP2 and GRPC are one at a gateway.
    (Kind::Gateway, "servers[].port.protocol"),
    (Kind::ServiceEntry, "ports[].name"),
    (Kind::Sidecar, "egress[].port.name"),
    (Kind::Sidecar, "egress[].port.protocol"),
    // The protocol says it already.
    (Kind::Sidecar, "ingress[].port.name"),
    // That of the mesh around it.
    (Kind::Sidecar, "outboundTrafficPolicy.mode"),
];

/// Kinds beyond Istio's own are Gateway API and Kubernetes, whose fields have tests of their own; so has ProxyConfig, of
/// which pods are made and nothing that a proxy is told.
fn kinds() -> impl Iterator<Item = Kind> {
    let all = Kind::ALL.iter().copied().filter(|kind| kind.row().group.ends_with("istio.io"));
    all.filter(|kind| *kind != Kind::ProxyConfig)
}

/// What becomes of a field.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Changes,
    /// Accepted, not honoured, and said.
    NotHonoured,
    /// Some other finding names it.
    Named(Code),
    /// The specimen itself is not valid, for another reason.
    Broken(String),
    Silent,
}

#[test]
fn every_field_changes_something_or_is_named() {
    let only = std::env::var("FIELD").unwrap_or_default();
    let mut laboratory = Laboratory::new();
    let mut wrong = Vec::new();
    let mut unhonoured = BTreeMap::<String, Vec<String>>::new();
    let (mut fields, mut changes) = (0, 0);
    for kind in kinds() {
        for leaf in leaves(kind) {
            let title = format!("{kind} {}", leaf.path);
            if !title.contains(&only) {
                continue;
            }
            let fate = match LABELS.contains(&(kind, leaf.path.as_str())) {
                true => continue,
                false => laboratory.fate(kind, &leaf),
            };
            if !only.is_empty() {
                eprintln!("{title} = {}: {fate:?}", leaf.value);
            }
            fields += 1;
            match fate {
                Fate::Changes => changes += 1,
                Fate::Named(_) => {}
                Fate::NotHonoured => unhonoured.entry(kind.to_string()).or_default().push(leaf.path),
                Fate::Broken(why) => {
                    wrong.push(format!("{title} = {}: not a valid specimen: {why}", leaf.value))
                }
                Fate::Silent => {
                    wrong.push(format!("{title} = {}: changes nothing and is not named", leaf.value))
                }
            }
        }
    }
    eprintln!("{fields} fields, {changes} change what a proxy gets, {} are wrong", wrong.len());
    if only.is_empty() {
        compare(&report(&unhonoured), &mut wrong);
    }
    assert!(wrong.is_empty(), "{} fields\n{}", wrong.len(), wrong.join("\n"));
}

/// One kind at a time, whole kinds in one line.
fn report(unhonoured: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = String::from(
        "# What is accepted but not honoured yet\n\n\
         Made by a test that sets every field of every Istio kind alone. `meshctl validate`, `apply` and `analyze` name\n\
         each of these when it is set.\n",
    );
    for kind in kinds() {
        let name = kind.to_string();
        let Some(list) = unhonoured.get(&name) else { continue };
        if list.len() == leaves(kind).len() {
            writeln!(text, "\n## {name}\n\nThe whole kind.").unwrap();
            continue;
        }
        writeln!(text, "\n## {name}\n").unwrap();
        for field in list {
            writeln!(text, "* `{field}`").unwrap();
        }
    }
    text
}

fn compare(report: &str, wrong: &mut Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/unhonoured.md");
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, report).unwrap();
    } else if fs::read_to_string(path).unwrap_or_default() != report {
        wrong.push("docs/unhonoured.md is not up to date: BLESS=1 writes it".to_owned());
    }
}

/// A mesh in which one object changes.
struct Laboratory {
    world: Vec<AnyObject>,
    memo: Memo,
    /// What is seen without the field, by the text of the object.
    seen: BTreeMap<String, Arc<Seen>>,
}

/// What one proxy gets, by kind and name.
type Resources = BTreeMap<(wire::Kind, Arc<str>), Arc<Resource>>;

/// What proxies get, and what is found.
struct Seen {
    resources: Vec<Resources>,
    findings: Vec<Finding>,
}

impl Laboratory {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fields");
        let text = fs::read_to_string(folder.join("world.yaml")).unwrap();
        let parsed = api::parse("world.yaml", &text);
        assert!(!parsed.findings.has_errors(), "{:?}", parsed.findings);
        Laboratory { world: parsed.objects, memo: Memo::default(), seen: BTreeMap::new() }
    }

    fn fate(&mut self, kind: Kind, leaf: &Leaf) -> Fate {
        let before = self.look(&without(kind, leaf), true);
        let after = self.look(&specimen(kind, leaf), false);
        let new: Vec<&Finding> = after.findings.iter().filter(|one| !known(&before.findings, one)).collect();
        // What stands around the field may be named for the same reason; a whole kind is named in every object.
        let not = |finding: &Finding| {
            finding.code == Code::NotHonoured && (finding.path.is_empty() || names(finding, &leaf.path))
        };
        if after.findings.iter().any(not) {
            return Fate::NotHonoured;
        }
        if let Some(finding) = new.iter().find(|finding| names(finding, &leaf.path)) {
            return Fate::Named(finding.code);
        }
        let errors = after.findings.iter().filter(|finding| finding.severity == Severity::Error);
        if let Some(error) = errors.filter(|finding| finding.file == FILE).min_by_key(|finding| finding.line)
        {
            let own = !known(&before.findings, error);
            if own || !changed(&before, &after) {
                return Fate::Broken(error.to_string());
            }
        }
        if std::env::var_os("FIELD").is_some() {
            eprintln!("{}", specimen(kind, leaf));
            after.findings.iter().for_each(|finding| eprintln!("  {finding}"));
        }
        match (changed(&before, &after), refused(&after)) {
            (true, Some(reject)) => Fate::Broken(format!("our proxy refuses what it gets: {reject}")),
            (true, None) => Fate::Changes,
            (false, _) => Fate::Silent,
        }
    }

    fn look(&mut self, object: &Value, keep: bool) -> Arc<Seen> {
        let text = object.to_string();
        if let Some(seen) = self.seen.get(&text) {
            return seen.clone();
        }
        let parsed = api::parse(FILE, &text);
        let mut findings: Vec<Finding> = parsed.findings.iter().cloned().collect();
        for object in &parsed.objects {
            findings.extend(api::honoured::unhonoured(object).iter().cloned());
        }
        let paper = Paper::of(self.world.iter().cloned().chain(parsed.objects));
        findings.extend(paper.findings.iter().filter(|finding| finding.file == FILE).cloned());
        let resources = PROXIES.iter().map(|proxy| {
            let node = paper.node(proxy).unwrap();
            let view = View::of(&paper.snapshot, &node, Session { delta: true, authenticated: true });
            let layers = say(&paper.snapshot, &view, &self.memo);
            layers.iter().map(|resource| ((resource.kind, resource.name.clone()), resource.clone())).collect()
        });
        let seen = Arc::new(Seen { resources: resources.collect(), findings });
        if keep {
            self.seen.insert(text, seen.clone());
        }
        seen
    }
}

const FILE: &str = "specimen.yaml";

/// The same finding, wherever it stands.
fn known(before: &[Finding], one: &Finding) -> bool {
    before.iter().any(|old| old.code == one.code && old.path == one.path && old.message == one.message)
}

/// True when the finding is about the field, something in it, or something that it is in (but not the whole spec).
fn names(finding: &Finding, field: &str) -> bool {
    let path = finding.path.to_string();
    let path = path.strip_prefix("spec.").unwrap_or(&path);
    let (found, wanted) = (steps(path), steps(field));
    if path == "spec" || path.is_empty() {
        return false;
    }
    found
        .iter()
        .zip(&wanted)
        .all(|(found, wanted)| wanted == "*" || found == wanted || (found == "[]" && wanted == "[]"))
}

fn steps(path: &str) -> Vec<String> {
    let mut out = Vec::new();
    for part in path.replace('[', ".[").split('.').filter(|part| !part.is_empty()) {
        match part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(index) if index.is_empty() || index.bytes().all(|b| b.is_ascii_digit()) => {
                out.push("[]".to_owned())
            }
            Some(key) => out.push(key.to_owned()),
            None => out.push(part.to_owned()),
        }
    }
    out
}

/// True when some proxy gets something else. Versions are hashes of the input; content counts.
fn changed(before: &Seen, after: &Seen) -> bool {
    before.resources.iter().zip(&after.resources).any(|(before, after)| {
        before.len() != after.len()
            || before.iter().any(|(key, old)| match after.get(key) {
                None => true,
                Some(new) => old.version != new.version && json(old) != json(new),
            })
    })
}

/// The first resource that our proxy does not take; secrets of specimens hold no certificates.
fn refused(seen: &Seen) -> Option<wire::Reject> {
    let all = seen.resources.iter().flat_map(|resources| resources.values());
    all.filter(|one| one.kind != wire::Kind::Secret)
        .find_map(|resource| proxy::compile::lower(resource, &mut proxy::compile::Slots::default()).err())
}

fn json(resource: &Resource) -> Value {
    wire::reflect::to_json(resource.kind.type_url(), &resource.bytes, true)
}
