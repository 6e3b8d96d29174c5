//! Budgets of size: lines of each file without its tests. Prints the ten largest and lines per crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::sh;

const FILE_HARD: usize = 500;
const DOOR_HARD: usize = 60;

/// Fails when a file or a door (`mod.rs`) is above its hard limit.
pub(crate) fn check() -> Result<()> {
    let root = sh::root();
    let mut files = Vec::new();
    for folder in
        ["base", "wire", "api", "citadel", "pilot", "proxy", "meshctl", "samples/apps", "e2e", "xtask"]
    {
        collect(&root.join(folder), &mut files);
    }
    let mut per_crate: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut sizes = Vec::new();
    let mut wrong = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        let shown = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        let (code, tests) = split(&shown, &text);
        let entry = per_crate.entry(crate_of(&shown)).or_default();
        entry.0 += code;
        entry.1 += tests;
        let limit = if shown.ends_with("/mod.rs") { DOOR_HARD } else { FILE_HARD };
        if code > limit {
            wrong.push(format!("{shown}: {code} lines, at most {limit}"));
        }
        sizes.push((code, shown));
    }
    sizes.sort_by(|a, b| b.cmp(a));
    println!("the ten largest files, without tests:");
    for (lines, file) in sizes.iter().take(10) {
        println!("{lines:>6}  {file}");
    }
    println!("lines per crate: code, tests");
    for (name, (code, tests)) in &per_crate {
        println!("{code:>6} {tests:>6}  {name}");
    }
    if wrong.is_empty() { Ok(()) } else { bail!("too large:\n  {}", wrong.join("\n  ")) }
}

fn crate_of(path: &str) -> String {
    match path.strip_prefix("samples/") {
        Some(_) => "samples".into(),
        None => path.split('/').next().unwrap_or_default().into(),
    }
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|n| n != "target" && n != "gen") {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Lines of code and lines of tests. Inline tests stand at the end of a file, after `#[cfg(test)]`.
fn split(path: &str, text: &str) -> (usize, usize) {
    let all = text.lines().count();
    if path.contains("/tests/") || path.ends_with("tests.rs") || path.contains("/benches/") {
        return (0, all);
    }
    let code = text
        .lines()
        .zip(text.lines().skip(1))
        .position(|(a, b)| a == "#[cfg(test)]" && b.starts_with("mod ") && b.ends_with('{'))
        .unwrap_or(all);
    (code, all - code)
}
