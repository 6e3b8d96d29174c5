//! A stock Envoy accepts what its proxies are sent: every golden case as one static bootstrap, checked by
//! `envoy --mode validate`. Needs the program: `MESH_ENVOY=/path/to/envoy cargo test -p pilot --test envoy -- --ignored`.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use pilot::offline::Paper;
use pilot::xds::Layers;
use serde_json::{Value, json};
use wire::Kind;

fn body(layers: &Layers, kind: Kind) -> Vec<Value> {
    layers.of(kind).iter().map(|r| wire::reflect::to_json(kind.type_url(), &r.bytes, true)).collect()
}

/// Route tables go where they are asked for.
fn inline(value: &mut Value, tables: &[Value]) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("rds").and_then(|rds| rds["route_config_name"].as_str()) {
                let table = tables
                    .iter()
                    .find(|t| t["name"] == name)
                    .unwrap_or_else(|| panic!("no table {name}"))
                    .clone();
                map.remove("rds");
                map.insert("route_config".to_owned(), table);
            }
            map.values_mut().for_each(|v| inline(v, tables));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| inline(v, tables)),
        _ => {}
    }
}

fn plain_cluster(name: &str) -> Value {
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} } } },
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": {
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": 1 } } } }] }] },
    })
}

fn bootstrap(layers: &Layers) -> Value {
    let tables = body(layers, Kind::Route);
    let mut listeners = body(layers, Kind::Listener);
    listeners.iter_mut().for_each(|l| inline(l, &tables));
    let mut clusters = body(layers, Kind::Cluster);
    clusters.extend([plain_cluster("sds-grpc"), plain_cluster("xds-grpc")]);
    json!({
        "node": { "id": "x", "cluster": "x" },
        "dynamic_resources": { "ads_config": { "api_type": "GRPC", "transport_api_version": "V3",
            "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds-grpc" } }] } },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    })
}

#[test]
#[ignore = "needs a stock Envoy: cargo xtask test planes"]
fn stock_envoy_accepts_every_golden() {
    let envoy = std::env::var_os("MESH_ENVOY").expect("MESH_ENVOY is the path of a stock Envoy");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut refused = Vec::new();
    for dir in fs::read_dir(&root).unwrap().map(|d| d.unwrap().path()).filter(|d| d.is_dir()) {
        let defaults = fs::read_to_string(dir.join("_defaults.yaml"))
            .or_else(|_| fs::read_to_string(root.join("_defaults.yaml")))
            .unwrap();
        for file in fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path()) {
            let text = fs::read_to_string(&file).unwrap();
            // Envoy reads files at once.
            if file.ends_with("_defaults.yaml") || text.contains("\n# grpc\n") || text.contains("\n# files\n")
            {
                continue;
            }
            let input = text.split_once("# Output\n").map_or(text.as_str(), |(input, _)| input);
            let paper = Paper::read([("_defaults.yaml", defaults.as_str()), ("case.yaml", input)]);
            let proxy = text.lines().find_map(|l| l.strip_prefix("# proxy: ")).unwrap_or("productpage-v1");
            let mut node = paper.node(proxy.trim()).unwrap();
            node.extensions.clear();
            let out = Path::new(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("{}.json", file.file_stem().unwrap().to_str().unwrap()));
            fs::write(&out, serde_json::to_vec_pretty(&bootstrap(&paper.dump(&node, false))).unwrap())
                .unwrap();
            let result = Command::new(&envoy)
                .args(["--mode", "validate", "-l", "warn", "-c"])
                .arg(&out)
                .output()
                .unwrap();
            if !result.status.success() {
                refused.push(format!("{}:\n{}", file.display(), String::from_utf8_lossy(&result.stderr)));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
