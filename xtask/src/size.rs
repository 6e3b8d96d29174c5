//! Budgets of size: lines of each file and of each function, without tests.
//!
//! In: every source file of the workspace. Out: the ten largest files, the ten longest functions, lines per crate; an
//! error that names everything above its hard limit, and everything that breaks a rule of `rules`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{rules, sh};

const FILE_HARD: usize = 500;
const DOOR_HARD: usize = 60;
const FUNCTION_HARD: usize = 80;

/// Fails when a file, a door (`mod.rs`) or a function is above its hard limit, or breaks a house rule.
pub(crate) fn check() -> Result<()> {
    let root = sh::root();
    let mut files = Vec::new();
    for folder in [
        "base",
        "wire",
        "api",
        "citadel",
        "pilot",
        "proxy",
        "meshctl",
        "samples/apps",
        "e2e",
        "xtask",
        "fuzz",
    ] {
        collect(&root.join(folder), &mut files);
    }
    let mut per_crate: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut sizes = Vec::new();
    let mut functions = Vec::new();
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
        let own: String = text.split_inclusive('\n').take(code).collect();
        for (name, lines) in lengths(&own) {
            if lines > FUNCTION_HARD {
                wrong.push(format!("{shown}: {name}: {lines} lines, at most {FUNCTION_HARD}"));
            }
            functions.push((lines, format!("{shown}: {name}")));
        }
        wrong.extend(rules::broken(&shown, &text));
        sizes.push((code, shown));
    }
    for document in ["ARCHITECTURE.md", "DEVELOPMENT.md", "TENETS.md", "docs/xds.md"] {
        let text = std::fs::read_to_string(root.join(document))?;
        wrong.extend(rules::lost(document, &text, |path| root.join(path).is_file()));
    }
    ten("the ten largest files, without tests:", &mut sizes);
    ten("the ten longest functions, without blank lines and comments:", &mut functions);
    println!("lines per crate: code, tests");
    for (name, (code, tests)) in &per_crate {
        println!("{code:>6} {tests:>6}  {name}");
    }
    if wrong.is_empty() { Ok(()) } else { bail!("house rules are broken:\n  {}", wrong.join("\n  ")) }
}

fn ten(title: &str, all: &mut [(usize, String)]) {
    all.sort_by(|a, b| b.cmp(a));
    println!("{title}");
    for (lines, what) in all.iter().take(10) {
        println!("{lines:>6}  {what}");
    }
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

/// Functions with the lines of their bodies that are neither blank nor comments. Relies on rustfmt: a body ends with
/// a brace as far in as the line that begins the function.
fn lengths(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let mut rest = lines.iter().skip(at);
        let Some(last) = rest.find(|line| line.ends_with(['{', '}', ';'])) else { continue };
        if !last.ends_with('{') {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_code = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let body = rest.take_while(|line| line.strip_prefix(indent) != Some("}"));
        found.push((name.to_owned(), body.filter(is_code).count()));
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_start = before.split_whitespace().all(|word| {
        word.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\""].contains(&word)
    });
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (is_start && end > 0).then(|| &after[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured() {
        let text = "fn short() { 1 }\nimpl A {\n    pub(crate) async fn long(\n        a: u8,\n    ) -> u8 {\n        \
            // why\n        if a {\n            1\n        }\n\n        2\n    }\n    fn none(&self);\n}\n";
        assert_eq!(lengths(text), [("long".to_owned(), 4)]);
        assert_eq!(function_name("    // a fn in words"), None);
        assert_eq!(function_name("let f: fn (u8) = g;"), None);
    }

    #[test]
    fn tests_do_not_count() {
        assert_eq!(split("a/src/b.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), (1, 3));
        assert_eq!(split("a/tests/b.rs", "fn a() {}\n"), (0, 1));
    }
}
