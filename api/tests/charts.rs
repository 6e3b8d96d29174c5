//! What a real Helm makes of our charts, case by case.
//!
//! `charts/golden/CHART/CASE.yaml` is a file of values. It may begin with `# release NAME in NAMESPACE` and with
//! `# only TEMPLATE...`. After `# Output` stand the objects, or the error, that Helm must give. Definitions of kinds and
//! templates of the injection are only named, since tests of their own watch them. Run by `cargo xtask test charts`, which builds Helm once and says where it is in `MESH_HELM`;
//! with `BLESS=1` outputs are written anew.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const OUTPUT: &str = "# Output\n";

fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts").canonicalize().unwrap()
}

fn cases() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for chart in std::fs::read_dir(charts().join("golden")).unwrap() {
        found.extend(std::fs::read_dir(chart.unwrap().path()).unwrap().map(|case| case.unwrap().path()));
    }
    found.sort();
    found
}

/// `# release NAME in NAMESPACE` of a case.
fn place<'a>(chart: &'a str, values: &'a str) -> (&'a str, &'a str) {
    let line = values.lines().find_map(|line| line.strip_prefix("# release "));
    let usual = if chart == "base" { "istio-base" } else { chart };
    line.and_then(|line| line.split_once(" in ")).unwrap_or((usual, "istio-system"))
}

/// Helm's manifests, or its complaint.
fn render(chart: &str, values: &str) -> String {
    let helm = std::env::var_os("MESH_HELM").expect("MESH_HELM names a Helm; run cargo xtask test charts");
    let file = std::env::temp_dir().join(format!("mesh-values-{}.yaml", std::process::id()));
    std::fs::write(&file, values).unwrap();
    let (release, namespace) = place(chart, values);
    let mut command = Command::new(helm);
    command.args(["template", release]).arg(charts().join(chart));
    command.args(["--namespace", namespace, "--kube-version", "1.34.0", "-f"]).arg(&file);
    let only = values.lines().find_map(|line| line.strip_prefix("# only ")).unwrap_or_default();
    for template in only.split_whitespace() {
        command.arg("--show-only").arg(format!("templates/{template}.yaml"));
    }
    let output = command.output().unwrap();
    std::fs::remove_file(&file).unwrap();
    if output.status.success() {
        return short(&String::from_utf8(output.stdout).unwrap());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let told: Vec<&str> = text.lines().filter_map(complaint).collect();
    told.iter().fold(String::new(), |mut all, line| {
        writeln!(all, "# error: {line}").unwrap();
        all
    })
}

/// What the chart says, without the places in templates that Helm puts before it.
fn complaint(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("Error: execution error at (") {
        Some(line) => line.split_once("): ").map_or(line, |(_, told)| told),
        None => line.trim(),
    };
    (!line.is_empty() && !line.starts_with("Use --debug")).then_some(line)
}

/// The output with one line instead of each definition.
fn short(output: &str) -> String {
    let mut all = String::new();
    for document in output.split_inclusive("\n---\n") {
        if document.contains("kind: CustomResourceDefinition") {
            let name = document.lines().find_map(|line| line.strip_prefix("  name: ")).unwrap();
            writeln!(all, "# CustomResourceDefinition {name}\n---").unwrap();
        } else {
            all.push_str(document);
        }
    }
    for name in ["parts", "sidecar", "gateway", "grpc-simple"] {
        let path = format!("files/injection-{name}.yaml");
        let text = std::fs::read_to_string(charts().join("istiod").join(&path)).unwrap();
        // At the depth at which the ConfigMap holds them.
        let margin = " ".repeat(8);
        let block: String = text.lines().map(|line| format!("{margin}{line}\n")).collect();
        all = all.replace(&block, &format!("{margin}# {path}\n"));
    }
    let lines: Vec<&str> = all.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").trim_end())
}

#[test]
#[ignore = "needs a Helm: cargo xtask test charts"]
fn helm_renders_the_cases() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = String::new();
    let cases = cases();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    for path in cases {
        let text = std::fs::read_to_string(&path).unwrap();
        let (values, expected) = text.split_once(OUTPUT).unwrap_or((&text, ""));
        let chart = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let made = render(chart, values);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(made.starts_with("# error:"), name.starts_with("refused"), "{chart}/{name}: {made}");
        if made == expected {
            continue;
        }
        if bless {
            std::fs::write(&path, format!("{values}{OUTPUT}{made}")).unwrap();
        } else {
            let line = made.lines().zip(expected.lines()).position(|(made, expected)| made != expected);
            writeln!(wrong, "{chart}/{name} differs from line {line:?} of the output:\n{made}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "run with BLESS=1 to accept:\n{wrong}");
}

/// What Helm made are objects: every document has what an API server asks for, and each object stands once.
#[test]
fn outputs_are_objects() {
    for path in cases() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, output) = text.split_once(OUTPUT).unwrap_or_else(|| panic!("{}: no output", path.display()));
        let mut seen = Vec::new();
        for document in api::yaml::load(output, 1).unwrap() {
            let at =
                |pointer: &str| document.value.pointer(pointer).and_then(|v| v.as_str()).unwrap_or_default();
            if document.value.is_null() {
                continue;
            }
            let name =
                (at("/apiVersion").to_owned(), at("/kind").to_owned(), at("/metadata/name").to_owned());
            assert!(
                ![&name.0, &name.1, &name.2].iter().any(|word| word.is_empty()),
                "{}: {name:?}",
                path.display()
            );
            assert!(!seen.contains(&name), "{}: {name:?} twice", path.display());
            seen.push(name);
        }
    }
}

/// The chart `base` lets the values of `istiod` stand beside its own, so that one file serves both.
#[test]
fn base_knows_the_names_of_istiods_values() {
    let check = std::fs::read_to_string(charts().join("base/templates/check.yaml")).unwrap();
    let values = std::fs::read_to_string(charts().join("istiod/values.yaml")).unwrap();
    let values = api::yaml::load(&values, 1).unwrap().remove(0).value;
    let own = ["profile", "global", "base"];
    for name in values["_internal_defaults_do_not_set"].as_object().unwrap().keys() {
        assert!(own.contains(&name.as_str()) || check.contains(&format!("\"{name}\"")), "{name}");
    }
}

/// Every chart has the same file of common parts, and every profile.
#[test]
fn charts_share_their_common_parts() {
    let read = |path: &str| std::fs::read_to_string(charts().join(path)).unwrap();
    for chart in ["base", "istiod", "gateway"] {
        assert_eq!(
            read(&format!("{chart}/templates/_values.tpl")),
            read("istiod/templates/_values.tpl"),
            "{chart}"
        );
        for profile in ["default", "demo", "minimal", "empty", "preview", "remote"] {
            read(&format!("{chart}/files/profile-{profile}.yaml"));
        }
    }
}
