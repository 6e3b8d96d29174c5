//! Our proxy takes everything that pilot says: every golden case of pilot is lowered, part by part.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use pilot::offline::Paper;
use proxy::compile::{Slots, lower};

#[test]
fn the_proxy_lowers_every_golden() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pilot/tests/golden");
    let common = fs::read_to_string(root.join("_defaults.yaml")).unwrap();
    let mut refused = Vec::new();
    let mut cases = 0;
    for dir in fs::read_dir(&root).unwrap().map(|d| d.unwrap().path()).filter(|d| d.is_dir()) {
        let defaults = fs::read_to_string(dir.join("_defaults.yaml")).unwrap_or_else(|_| common.clone());
        for file in fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path()) {
            let text = fs::read_to_string(&file).unwrap();
            if file.ends_with("_defaults.yaml") || text.contains("\n# grpc\n") {
                continue;
            }
            cases += 1;
            let input = text.split_once("# Output\n").map_or(text.as_str(), |(input, _)| input);
            let paper = Paper::read([("_defaults.yaml", defaults.as_str()), ("case.yaml", input)]);
            let proxy = text.lines().find_map(|l| l.strip_prefix("# proxy: ")).unwrap_or("productpage-v1");
            let node = paper.node(proxy.trim()).unwrap();
            for delta in [true, false] {
                let mut slots = Slots::default();
                for resource in paper.dump(&node, delta).iter() {
                    if let Err(reject) = lower(resource, &mut slots) {
                        refused.push(format!("{}: {reject:?}", file.display()));
                    }
                }
            }
        }
    }
    assert!(cases >= 20, "only {cases} cases");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
