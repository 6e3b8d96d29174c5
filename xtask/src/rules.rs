//! House rules that no compiler knows: a header on every module, doors without logic, unsafe code only in files that
//! are listed here, a reason beside every lint that is switched off, documents that name files which exist.
//!
//! In: the text of one file. Out: what is wrong with it, with file and line. Pure; called by `size` for every file.

/// Files that make system calls. Everywhere else unsafe code is denied by the lints of the workspace.
const UNSAFE: &[&str] = &[
    "base/src/net/netlink.rs",
    "meshctl/src/local/ground.rs",
    "meshctl/src/local/protocol.rs",
    "meshctl/src/local/terminal.rs",
    "meshctl/src/local/wall/channel.rs",
    "meshctl/src/local/wall/client.rs",
    "meshctl/src/local/wall/filesystem.rs",
    "meshctl/src/local/wall/helper.rs",
    "meshctl/src/local/wall/node.rs",
    "meshctl/src/local/wall/pod.rs",
    "meshctl/src/local/wall/process.rs",
    "proxy/src/tcp/splice.rs",
];

/// Everything that is wrong with a file.
pub(crate) fn broken(file: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !text.trim_start().starts_with("//!") {
        wrong.push(format!("{file}: begins without a header that says what comes in and what goes out"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        if ["#[allow(", "#![allow("].iter().any(|start| code.starts_with(start)) && !has_reason(text, number)
        {
            wrong.push(format!("{file}:{number}: a lint is switched off without a reason beside it"));
        }
        if code.starts_with('#') && code.contains("allow(unsafe_code") && !UNSAFE.contains(&file) {
            wrong.push(format!("{file}:{number}: unsafe code, and the file is not in xtask/src/rules.rs"));
        }
        if file.ends_with("/mod.rs") && is_logic(line) {
            wrong.push(format!("{file}:{number}: a door holds declarations only"));
        }
    }
    wrong
}

/// Source files that a document names and that do not exist. A path may be given from the root, from `proxy/src` (a
/// request's walk), or as a neighbour of a file that was named before it.
pub(crate) fn lost(document: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut folders = vec![String::new(), "proxy/src/".to_owned()];
    for (number, line) in (1..).zip(text.lines()) {
        for word in line.split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            let found =
                folders.iter().rev().map(|folder| format!("{folder}{word}")).find(|path| exists(path));
            match found {
                Some(path) => {
                    folders.push(
                        path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/")),
                    );
                }
                None => wrong.push(format!("{document}:{number}: there is no {word}")),
            }
        }
    }
    wrong
}

fn is_path(word: &str) -> bool {
    word.ends_with(".rs")
        && word != "mod.rs"
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "_./".contains(c))
}

/// A comment behind the attribute, or in the line above it.
fn has_reason(text: &str, number: usize) -> bool {
    let line = |number: usize| text.lines().nth(number.wrapping_sub(1)).unwrap_or_default().trim_start();
    let behind = line(number);
    behind.contains("//") || behind.contains("reason =") || line(number - 1).starts_with("//")
}

/// A function at the top level of a file.
fn is_logic(line: &str) -> bool {
    ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn "]
        .iter()
        .any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_documents_name_must_exist() {
        let text =
            "See `a/src/b.rs` and `c.rs`,\nthen `listen/d.rs`; `no.rs`, `say()` and `x/{y,z}.rs` are not.\n";
        let files = ["a/src/b.rs", "a/src/c.rs", "proxy/src/listen/d.rs"];
        let lost = lost("D.md", text, |path| files.contains(&path));
        assert_eq!(lost, ["D.md:2: there is no no.rs"]);
    }

    #[test]
    fn what_is_broken_is_named_with_its_line() {
        let good = "//! Header.\n\n#[allow(dead_code)] // for the macro\nfn a() {}\n";
        assert_eq!(broken("a/src/b.rs", good), Vec::<String>::new());
        let lines = |file: &str, text: &str| -> Vec<String> {
            broken(file, text).iter().map(|one| one.split(": ").next().unwrap().to_owned()).collect()
        };
        assert_eq!(lines("a/src/b.rs", "fn a() {}\n"), ["a/src/b.rs"]);
        assert_eq!(lines("a/src/b.rs", "//! H.\n\n#[allow(dead_code)]\nfn a() {}\n"), ["a/src/b.rs:3"]);
        assert_eq!(lines("a/src/b.rs", "//! H.\n#![allow(unsafe_code)] // why\n"), ["a/src/b.rs:2"]);
        assert_eq!(lines("a/src/mod.rs", "//! H.\nmod b;\npub fn a() {}\n"), ["a/src/mod.rs:3"]);
        assert!(lines("proxy/src/tcp/splice.rs", "//! H.\n#![allow(unsafe_code)] // pipe2\n").is_empty());
    }
}
