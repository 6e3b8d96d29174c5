//! Envoy resources and calls, with what the proxy would do: `decide/*.yaml`, one file per behaviour.
//!
//! Above the line `# Output` a file has `resources` (Envoy's JSON with `@type`) and `calls`; below it stands what is
//! expected: first the resources that are refused, then each call's rehearsal. `BLESS=1` writes what is.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use base::Live;
use proxy::config::Config;
use proxy::dice::Dice;
use proxy::rehearse::{Call, Entry, rehearse};
use proxy::tls::Secrets;
use proxy::xds::{Batch, Store};
use serde_json::Value;
use wire::{Kind, Resource};

const MARK: &str = "# Output\n";

#[test]
fn every_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decide");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once(MARK).unwrap_or((&text, ""));
        let output = run(input);
        let expected: String =
            expected.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(""))).collect();
        if output != expected {
            if std::env::var_os("BLESS").is_some() {
                let lines: String =
                    output.lines().map(|line| format!("# {line}\n").replace("# \n", "#\n")).collect();
                std::fs::write(&path, format!("{input}{MARK}{lines}")).unwrap();
            } else {
                wrong.push(format!("{}\n--- expected\n{expected}--- is\n{output}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "BLESS=1 rewrites after review:\n{}", wrong.join("\n"));
}

fn run(input: &str) -> String {
    let file: Value = serde_saphyr::from_str(input).unwrap();
    let live = Live::new(Config::default());
    let mut store = Store::new(live.clone(), Arc::new(Secrets::new()));
    let added = file["resources"].as_array().unwrap().iter().map(resource).collect();
    let changed = store.apply(Batch { added, removed: Vec::new() });
    let mut out: Vec<String> = changed.rejects.iter().map(|reject| format!("refused {reject}\n")).collect();
    for (kind, name) in store.missing() {
        out.push(format!("missing {kind} {name}\n"));
    }
    let config = live.load();
    for call in file["calls"].as_array().into_iter().flatten() {
        let (title, parsed) = parse(call);
        let times = call["times"].as_u64().unwrap_or(1);
        if times == 1 {
            out.push(
                format!(
                    "{title}\n  {}",
                    rehearse(&config, &parsed, &mut Dice::new(1))
                        .to_string()
                        .replace('\n', "\n  ")
                        .trim_end()
                ) + "\n",
            );
            continue;
        }
        let mut dice = Dice::new(1);
        let mut counts = std::collections::BTreeMap::<String, u64>::new();
        for _ in 0..times {
            *counts.entry(rehearse(&config, &parsed, &mut dice).verdict()).or_default() += 1;
        }
        let counts: String = counts.iter().map(|(verdict, count)| format!("  {count} {verdict}\n")).collect();
        out.push(format!("{title} x{times}\n{counts}"));
    }
    out.join("\n")
}

fn resource(json: &Value) -> Resource {
    let url = json["@type"].as_str().unwrap();
    let kind = Kind::from_type_url(url)
        .or_else(|| Kind::from_short(url))
        .unwrap_or_else(|| panic!("{url} is no kind"));
    let mut json = json.clone();
    json.as_object_mut().unwrap().remove("@type");
    let name = ["name", "cluster_name"].iter().find_map(|key| json[*key].as_str()).unwrap().to_owned();
    let bytes = wire::reflect::from_json(kind.message_name(), &json)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let hash = wire::resource::hash128(&bytes);
    Resource::encoded(kind, name, bytes, hash)
}

/// `request: GET http://host/path`, `headers`, `to: ADDRESS` (default 127.0.0.1:10000), `at: outbound|inbound|port`.
fn parse(call: &Value) -> (String, Call) {
    let request = call["request"].as_str().unwrap();
    let (method, url) = request.split_once(' ').unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let mut headers = http::HeaderMap::new();
    let mut title = request.to_owned();
    for (name, value) in call["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap();
        title += &format!(" {name}={value}");
        headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let entry = match call["at"].as_str() {
        Some("outbound") => Entry::Outbound,
        Some("inbound") => Entry::Inbound,
        _ => Entry::Port,
    };
    let call = Call {
        entry,
        destination: call["to"].as_str().unwrap_or("127.0.0.1:10000").parse().unwrap(),
        source: "10.0.0.9:40000".parse().unwrap(),
        tls: scheme == "https",
        server_name: call["sni"].as_str().map(Into::into),
        protocols: vec!["http/1.1".into()],
        method: method.parse().unwrap(),
        scheme: scheme.to_owned(),
        authority: authority.to_owned(),
        path: if path.is_empty() { "/".into() } else { path.to_owned() },
        headers,
    };
    (title, call)
}
