//! The crate graph: who may depend on whom, and which outside crates may appear at all.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::sh;

/// Every crate of the workspace with what it may use of the others. Dependencies point to the left only.
const ALLOWED: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("wire", &["base"]),
    ("api", &["base"]),
    ("citadel", &["base", "wire"]),
    ("pilot", &["base", "wire", "api", "citadel"]),
    // Not `api`: below `pilot/src/xds` nobody knows what people wrote.
    ("proxy", &["base", "wire"]),
    ("meshctl", &["base", "wire", "api", "pilot", "proxy", "citadel"]),
    // Only its tests: they read the YAML beside it.
    ("samples", &["base"]),
    ("e2e", &["base", "wire", "api", "pilot", "proxy", "citadel", "meshctl", "samples"]),
    ("xtask", &[]),
];

/// Crates that must not be built, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("ring", "one crypto provider only: aws-lc-rs"),
    ("openssl", "one TLS stack only: rustls"),
    ("native-tls", "one TLS stack only: rustls"),
    ("serde_yaml", "unmaintained"),
    ("arc-swap", "base::Live is the one way to swap a pointer"),
];

/// Outside crates that only some of ours may name: crate, who may.
const GUARDED: &[(&str, &[&str])] = &[
    ("kube", &["api", "pilot", "citadel", "meshctl", "e2e"]),
    ("k8s-openapi", &["api", "pilot", "citadel", "meshctl", "e2e"]),
];

/// Fails with every arrow that points the wrong way.
pub(crate) fn check() -> Result<()> {
    let mut cargo = sh::cargo();
    cargo.args(["metadata", "--format-version", "1"]);
    let output = cargo.output().context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages in the metadata")?;
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut wrong = Vec::new();
    let mut arrows = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if members.contains(package["id"].as_str().unwrap_or_default()) {
            let uses = ours(package, &mut wrong, name);
            arrows.insert(name, uses);
        }
    }
    wrong.extend(banned()?);
    for (name, uses) in &arrows {
        println!("{name:>8} -> {}", if uses.is_empty() { "-".into() } else { uses.join(", ") });
    }
    if wrong.is_empty() {
        println!("the graph points one way");
        return Ok(());
    }
    bail!("the crate graph is broken:\n  {}", wrong.join("\n  "))
}

/// Banned crates that would really be built. The lock also names optional ones that no feature enables.
fn banned() -> Result<Vec<String>> {
    let mut cargo = sh::cargo();
    cargo.args([
        "tree",
        "--workspace",
        "--target",
        "all",
        "--edges",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let output = cargo.output().context("cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let built: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    let found = BANNED.iter().filter(|(name, _)| built.contains(name));
    Ok(found.map(|(name, why)| format!("{name} is built: {why}")).collect())
}

/// What one of our crates uses of the others; notes what it may not.
fn ours(package: &Value, wrong: &mut Vec<String>, name: &str) -> Vec<String> {
    let Some((_, allowed)) = ALLOWED.iter().find(|(member, _)| *member == name) else {
        wrong.push(format!("{name} has no row in xtask/src/graph.rs"));
        return Vec::new();
    };
    let mut uses = Vec::new();
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        // What only tests use is no arrow of the design.
        if dependency["kind"] == "dev" {
            continue;
        }
        let Some(used) = dependency["name"].as_str() else { continue };
        if ALLOWED.iter().any(|(member, _)| *member == used) && dependency["path"].is_string() {
            uses.push(used.to_string());
            if !allowed.contains(&used) {
                wrong.push(format!("{name} may not depend on {used}"));
            }
        }
        if let Some((_, who)) = GUARDED.iter().find(|(guarded, _)| *guarded == used)
            && !who.contains(&name)
        {
            wrong.push(format!("{name} may not depend on {used}"));
        }
    }
    uses
}
