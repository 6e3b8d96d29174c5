//! Golden cases: one YAML file per case, objects first, then `# Output` and the findings that they must give.
//!
//! `valid/` holds what must give no error, `invalid/` what must give at least one. Run with `BLESS=1` to write the
//! findings anew, then read the diff.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use api::{Findings, parse};

const OUTPUT: &str = "# Output\n";

/// Everything that reading, checking and the list of unhonoured fields say.
fn findings(file: &str, text: &str) -> Findings {
    let parsed = parse(file, text);
    let mut findings = parsed.findings;
    for object in &parsed.objects {
        findings.extend(api::honoured::told(object));
    }
    findings.sort();
    findings
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|e| e == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn run(folder: &str, must_fail: bool) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let bless = std::env::var_os("BLESS").is_some();
    let mut failed = String::new();
    let files = yaml_files(&root);
    assert!(files.len() > 10, "only {} cases in {folder}", files.len());
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once(OUTPUT).unwrap_or((&text, ""));
        let found = findings(name, input);
        let mut output = String::new();
        for line in found.to_string().lines() {
            writeln!(output, "# {line}").unwrap();
        }
        assert_eq!(found.has_errors(), must_fail, "{folder}/{name}: {output}");
        if output == expected {
            continue;
        }
        if bless {
            std::fs::write(&path, format!("{input}{OUTPUT}{output}")).unwrap();
        } else {
            writeln!(failed, "{folder}/{name}\nexpected:\n{expected}got:\n{output}").unwrap();
        }
    }
    assert!(failed.is_empty(), "run with BLESS=1 to accept:\n{failed}");
}

#[test]
fn valid_objects_have_no_errors() {
    run("valid", false);
}

#[test]
fn invalid_objects_are_named() {
    run("invalid", true);
}

/// Every sample is read and passes its rules.
#[test]
fn samples_are_valid() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples");
    let mut objects = 0;
    for path in yaml_files(&samples) {
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.contains("apiVersion:") || path.ends_with("kustomization.yaml") {
            continue;
        }
        let parsed = parse(path.to_str().unwrap(), &text);
        assert!(!parsed.findings.has_errors(), "{}", parsed.findings);
        for object in &parsed.objects {
            let findings = object.findings();
            assert!(!findings.has_errors(), "{findings}");
            objects += 1;
        }
    }
    assert!(objects > 100, "only {objects} objects in samples");
}

/// What is printed reads back to the same object.
#[test]
fn samples_survive_printing() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples");
    for path in yaml_files(&samples) {
        let text = std::fs::read_to_string(&path).unwrap();
        for object in parse("sample", &text).objects {
            let printed = api::emit::to_yaml(&object.to_value());
            let again = parse("sample", &printed);
            assert_eq!(again.objects.len(), 1, "{printed}{}", again.findings);
            assert_eq!(again.objects[0].to_value(), object.to_value(), "{printed}");
        }
    }
}

/// The definitions in the chart are those that the types make.
#[test]
fn definitions_in_the_chart_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/base/files/crd-all.gen.yaml");
    let made = api::crd::yaml();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let line = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    assert!(kept == made, "{} differs from line {line:?}; run with BLESS=1", path.display());
}
