//! One file per case: documents, then `# Output`, then what a proxy gets and what was found.
//!
//! Header comments choose: `# proxy: POD`, `# expect: TYPE GLOB` (as often as needed), `# session: sotw`,
//! `# stock` (a client without our extensions). `_defaults.yaml` beside the cases or above them supplies the boring
//! objects. `BLESS=1 cargo test -p pilot --test golden` rewrites. Every case also goes through the consistency
//! oracle: names that are referred to exist or are meant to fail, names are unique, saying twice is the same,
//! shuffled documents are the same.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pilot::offline::Paper;
use pilot::xds::names::{ClusterName, RouteName};
use pilot::xds::{Layers, Memo, Session, View, say};
use serde_json::{Map, Value, json};
use wire::{Kind, Node};

const OUTPUT: &str = "# Output\n";

struct Case {
    path: PathBuf,
    input: String,
    output: String,
    defaults: Vec<(String, String)>,
    proxy: String,
    expect: Vec<(Kind, String)>,
    delta: bool,
    stock: bool,
    grpc: bool,
}

impl Case {
    fn read(path: &Path, defaults: &[(String, String)]) -> Case {
        let text = fs::read_to_string(path).unwrap();
        let (input, output) = text.split_once(OUTPUT).unwrap_or((&text, ""));
        let header: Vec<&str> = input.lines().take_while(|l| l.starts_with('#')).collect();
        let word =
            |key: &str| header.iter().find_map(|l| l.strip_prefix(&format!("# {key}: "))).map(str::trim);
        let expect = header.iter().filter_map(|l| l.strip_prefix("# expect: ")).map(|l| {
            let (kind, glob) = l.trim().split_once(' ').unwrap_or((l.trim(), "*"));
            (
                Kind::from_short(kind).unwrap_or_else(|| panic!("{}: {kind} is no type", path.display())),
                glob.to_owned(),
            )
        });
        Case {
            path: path.to_owned(),
            proxy: word("proxy").unwrap_or("productpage-v1").to_owned(),
            expect: expect.collect(),
            delta: word("session") != Some("sotw"),
            stock: header.contains(&"# stock"),
            grpc: header.contains(&"# grpc"),
            input: input.to_owned(),
            output: output.to_owned(),
            defaults: defaults.to_vec(),
        }
    }

    fn texts(&self) -> Vec<(&str, String)> {
        let mut out: Vec<(&str, String)> =
            self.defaults.iter().map(|(f, t)| (f.as_str(), t.clone())).collect();
        out.push((self.path.file_name().unwrap().to_str().unwrap(), self.input.clone()));
        out
    }

    fn paper(&self) -> Paper {
        let texts = self.texts();
        Paper::read(texts.iter().map(|(f, t)| (*f, t.as_str())))
    }

    /// The same objects, last first.
    fn reversed(&self) -> Paper {
        let parsed = self.texts().into_iter().flat_map(|(f, t)| api::parse(f, &t).objects);
        let mut objects: Vec<_> = parsed.collect();
        objects.reverse();
        Paper::of(objects)
    }

    fn node(&self, paper: &Paper) -> Node {
        let mut node = paper.node(&self.proxy).unwrap_or_else(|e| panic!("{}: {e}", self.path.display()));
        if self.stock || self.grpc {
            node.extensions.clear();
        }
        if self.grpc {
            node.metadata.generator = "grpc".to_owned();
        }
        node
    }

    fn say(&self, paper: &Paper) -> Layers {
        let session = Session { delta: self.delta, authenticated: true };
        let view = View::of(&paper.snapshot, &self.node(paper), session);
        say(&paper.snapshot, &view, &Memo::default())
    }
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let read = |dir: &Path| {
        let file = dir.join("_defaults.yaml");
        let name = format!("{}/_defaults.yaml", dir.file_name().unwrap().to_str().unwrap());
        fs::read_to_string(file).ok().map(|text| (name, text))
    };
    let mut out = Vec::new();
    let mut dirs: Vec<_> =
        fs::read_dir(&root).unwrap().map(|d| d.unwrap().path()).filter(|d| d.is_dir()).collect();
    dirs.sort();
    for dir in dirs {
        // Objects of a folder replace those of the folder above.
        let defaults: Vec<_> = read(&dir).or_else(|| read(&root)).into_iter().collect();
        let mut files: Vec<_> = fs::read_dir(&dir).unwrap().map(|d| d.unwrap().path()).collect();
        files.retain(|f| !f.file_name().unwrap().to_str().unwrap().starts_with('_'));
        files.sort();
        out.extend(files.iter().map(|file| Case::read(file, &defaults)));
    }
    assert!(!out.is_empty());
    out
}

fn matches(glob: &str, name: &str) -> bool {
    match glob.split_once('*') {
        None => glob == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

fn printed(case: &Case, paper: &Paper, layers: &Layers) -> String {
    let mut resources = Map::new();
    for (kind, glob) in &case.expect {
        let found = layers.of(*kind);
        let mut any = false;
        for resource in found.iter().filter(|r| matches(glob, &r.name)) {
            any = true;
            let body = wire::reflect::to_json(kind.type_url(), &resource.bytes, true);
            resources.insert(format!("{kind} {}", resource.name), body);
        }
        assert!(any || glob.contains('*'), "{}: no {kind} {glob}", case.path.display());
    }
    let findings: Vec<Value> = paper.findings.iter().map(|f| json!(f.to_string())).collect();
    api::emit::to_yaml(&json!({ "findings": findings, "resources": resources }))
}

#[test]
fn golden() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let paper = case.paper();
        let layers = case.say(&paper);
        let output = printed(&case, &paper, &layers);
        if bless {
            fs::write(&case.path, format!("{}{OUTPUT}{output}", case.input)).unwrap();
        } else if output != case.output {
            let at = output.lines().zip(case.output.lines()).position(|(a, b)| a != b).unwrap_or(0);
            let line = |text: &str| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
            wrong.push(format!(
                "{} line {} of the output:\n  is     {}\n  was    {}",
                case.path.display(),
                at + 1,
                line(&output),
                line(&case.output)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\nBLESS=1 rewrites", wrong.join("\n"));
}

#[test]
fn oracle() {
    for case in cases() {
        let name = case.path.display().to_string();
        let paper = case.paper();
        let layers = case.say(&paper);
        unique(&name, &layers);
        references(&name, &layers);
        same(&format!("{name}, said twice"), &layers, &case.say(&paper));
        let reversed = case.reversed();
        same(&format!("{name}, last document first"), &layers, &case.say(&reversed));
        let again = pilot::model::resolve(Some(&paper.snapshot), &paper.world).0;
        assert_eq!(again.digest(), paper.snapshot.digest(), "{name}, understood again");
    }
}

fn unique(name: &str, layers: &Layers) {
    let mut seen = BTreeSet::new();
    for resource in layers.iter() {
        assert!(
            seen.insert((resource.kind, resource.name.clone())),
            "{name}: {} {} twice",
            resource.kind,
            resource.name
        );
    }
}

fn same(what: &str, a: &Layers, b: &Layers) {
    let list = |layers: &Layers| -> BTreeMap<(Kind, String), String> {
        layers.iter().map(|r| ((r.kind, r.name.to_string()), r.version.to_string())).collect()
    };
    assert_eq!(list(a), list(b), "{what}");
    for (x, y) in a.iter().zip(b.iter()) {
        let decode = |r: &wire::Resource| wire::reflect::to_json(r.kind.type_url(), &r.bytes, true);
        assert_eq!(decode(x), decode(y), "{what}: {} {}", x.kind, x.name);
    }
}

/// Every name that is referred to is there, or is one that pilot makes for something that is missing.
fn references(name: &str, layers: &Layers) {
    let names = |kind: Kind| -> BTreeSet<String> {
        layers.iter().filter(|r| r.kind == kind).map(|r| r.name.to_string()).collect()
    };
    let (clusters, tables, endpoints) = (names(Kind::Cluster), names(Kind::Route), names(Kind::Endpoints));
    for resource in layers.iter() {
        let body = wire::reflect::to_json(resource.kind.type_url(), &resource.bytes, true);
        walk(&body, &mut |key, value| match (key, value) {
            ("route_config_name", Value::String(table)) => {
                assert!(tables.contains(table), "{name}: no table {table}, which {} wants", resource.name);
                table.parse::<RouteName>().unwrap_or_else(|e| panic!("{name}: {e}"));
            }
            ("service_name", Value::String(cluster)) if resource.kind == Kind::Cluster => {
                assert!(endpoints.contains(cluster), "{name}: no endpoints of {cluster}");
            }
            ("cluster", Value::String(cluster)) => {
                let parsed: ClusterName = cluster.parse().unwrap_or_else(|e| panic!("{name}: {e}"));
                // What is written and missing fails in place; everything else must be there.
                let missing = matches!(parsed, ClusterName::Outbound { .. }) && name.contains("missing");
                assert!(
                    missing || clusters.contains(cluster),
                    "{name}: no cluster {cluster}, which {} wants",
                    resource.name
                );
            }
            _ => {}
        });
    }
    for cluster in &clusters {
        cluster.parse::<ClusterName>().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    for host in names(Kind::VirtualHost) {
        let (table, _) = pilot::xds::names::parse_virtual_host_resource(&host).expect("a table and a host");
        assert!(tables.contains(table), "{name}: no table for {host}");
    }
}

fn walk(value: &Value, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            each(key, value);
            walk(value, each);
        }),
        Value::Array(list) => list.iter().for_each(|value| walk(value, each)),
        _ => {}
    }
}
