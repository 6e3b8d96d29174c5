//! The mesh on paper: `paper/*.yaml`, one file per behaviour.
//!
//! Above `# Output` a file has objects and, in a document of their own, `calls`; below it stands what happens to each
//! call. `# with: FILE...` adds files of the repository. `_defaults.yaml` supplies the boring objects. `BLESS=1`
//! rewrites what stands below. For every file, everything that pilot says to every proxy must be accepted by ours,
//! delta and state-of-the-world, and nothing that is referred to may be missing.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::paper::{Mesh, Wish};
use serde_json::Value;

const MARK: &str = "# Output\n";

#[test]
fn every_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/paper");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.retain(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('_'));
    files.sort();
    assert!(!files.is_empty());
    let only = std::env::var("CASE").unwrap_or_default();
    let defaults = fs::read_to_string(folder.join("_defaults.yaml")).unwrap();
    let wrong: Vec<String> = files
        .iter()
        .filter(|path| path.to_str().unwrap().contains(&only))
        .filter_map(|path| check(path, &defaults))
        .collect();
    assert!(wrong.is_empty(), "BLESS=1 rewrites after review:\n{}", wrong.join("\n"));
}

/// What pilot's own golden cases say is taken too.
#[test]
fn pilots_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pilot/tests/golden");
    let wrong = golden(&folder, &[]);
    assert!(wrong.is_empty(), "what pilot says is not taken:\n{wrong}");
}

fn golden(folder: &Path, above: &[(String, String)]) -> String {
    let mut defaults = above.to_vec();
    if let Ok(text) = fs::read_to_string(folder.join("_defaults.yaml")) {
        defaults.push(("_defaults.yaml".to_owned(), text));
    }
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut wrong = String::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            wrong += &golden(&path, &defaults);
        } else if name.ends_with(".yaml") && !name.starts_with('_') {
            let text = fs::read_to_string(&path).unwrap();
            let input = text.split_once(MARK).map_or(text.as_str(), |(input, _)| input);
            let texts = defaults.iter().map(|(name, text)| (name.as_str(), text.as_str()));
            let mesh = Mesh::read(texts.chain([(name, input)]));
            let refused = oracle(&mesh, false);
            if !refused.is_empty() {
                writeln!(wrong, "{}\n{refused}", path.display()).unwrap();
            }
        }
    }
    wrong
}

fn check(path: &Path, defaults: &str) -> Option<String> {
    let text = fs::read_to_string(path).unwrap();
    let (input, expected) = text.split_once(MARK).unwrap_or((&text, ""));
    let expected: String =
        expected.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(""))).collect();
    let output = run(path, input, defaults);
    if output == expected {
        return None;
    }
    if std::env::var_os("BLESS").is_some() {
        let lines: String = output.lines().map(|line| format!("# {line}\n").replace("# \n", "#\n")).collect();
        fs::write(path, format!("{input}{MARK}{lines}")).unwrap();
        return None;
    }
    Some(format!("{}\n--- expected\n{expected}--- is\n{output}", path.display()))
}

fn run(path: &Path, input: &str, defaults: &str) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut texts = vec![("_defaults.yaml".to_owned(), defaults.to_owned())];
    for file in input.lines().filter_map(|line| line.strip_prefix("# with: ")).flat_map(str::split_whitespace)
    {
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        texts.push((file.to_owned(), text));
    }
    let (objects, calls) = split(input);
    texts.push((name.to_owned(), objects));
    let mesh = Mesh::read(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let mut out = Vec::new();
    // What is found in files that were added is theirs.
    let own = mesh.paper.findings.iter().filter(|finding| finding.file == name);
    let findings: String = own.map(|finding| format!("finding {finding}\n")).collect();
    if !findings.is_empty() {
        out.push(findings);
    }
    let refused = oracle(&mesh, true);
    assert!(refused.is_empty(), "{name}: what pilot says is not taken:\n{refused}");
    for wish in calls.iter().map(|call| Wish::of(call).unwrap_or_else(|error| panic!("{name}: {error:#}"))) {
        let text = mesh.call(&wish).unwrap_or_else(|error| panic!("{name}: {}: {error:#}", wish.title()));
        let text = text.trim_end().replace('\n', "\n  ");
        out.push(format!("{}\n  {text}\n", wish.title()));
    }
    out.join("\n")
}

/// The objects with the document of calls blanked out, so that lines stay where they are, and the calls.
fn split(input: &str) -> (String, Vec<Value>) {
    let mut objects = Vec::new();
    let mut calls = Vec::new();
    for document in input.split_inclusive("---\n") {
        let body = document.trim_end_matches("---\n");
        let first = body.lines().find(|line| !line.starts_with('#') && !line.trim().is_empty());
        if first.is_some_and(|line| line.starts_with("calls:")) {
            let value: Value = serde_saphyr::from_str(body).unwrap();
            calls.extend(value["calls"].as_array().unwrap().iter().cloned());
            objects.push("\n".repeat(document.lines().count() - 1) + "---\n");
        } else {
            objects.push(document.to_owned());
        }
    }
    (objects.concat(), calls)
}

/// `whole`: nothing that is referred to may be missing either.
fn oracle(mesh: &Mesh, whole: bool) -> String {
    let mut wrong = String::new();
    for pod in mesh.proxied() {
        for delta in [true, false] {
            let loaded = mesh.load(&pod, delta).unwrap();
            // Secrets of golden cases hold no certificates.
            for reject in loaded.rejects.iter().filter(|reject| whole || reject.kind != wire::Kind::Secret) {
                writeln!(wrong, "{pod}: {reject}").unwrap();
            }
            for (kind, name) in loaded.missing.iter().filter(|_| whole) {
                writeln!(wrong, "{pod}: {kind} {name} is referred to and was not said").unwrap();
            }
        }
    }
    wrong
}
