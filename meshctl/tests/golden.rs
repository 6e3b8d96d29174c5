//! Every command as a user runs it: `golden/<command>/<case>.cmd` holds command lines, `<case>.out` what they print.
//!
//! Run with BLESS=1 to rewrite the `.out` files. Commands run in this folder (`meshctl/tests`), with an empty state:
//! no mesh runs.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Words of a command line; quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    assert!(quote.is_none(), "an open quote in {line}");
    words.extend(word);
    words
}

fn run(line: &str, state: &Path) -> String {
    let words = words(line);
    assert_eq!(words[0], "meshctl", "{line}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    command.args(&words[1..]).current_dir(folder()).stdin(Stdio::null());
    for name in ["KUBECONFIG", "MESHCTL_MESH", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(name);
    }
    command
        .env("XDG_STATE_HOME", state)
        .env("XDG_RUNTIME_DIR", state)
        .env("HOME", state)
        .env("NO_COLOR", "1");
    let output = command.output().expect("meshctl can be started");
    let mut text = format!("$ {line}\n{}", String::from_utf8_lossy(&output.stdout));
    if !output.stderr.is_empty() {
        write!(text, "--- stderr\n{}", String::from_utf8_lossy(&output.stderr)).unwrap();
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => writeln!(text, "--- exit {code}").unwrap(),
        None => writeln!(text, "--- killed").unwrap(),
    }
    // Absolute paths in messages differ from clone to clone.
    text.replace(&folder().display().to_string(), "TESTS").replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

fn cases() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for command in std::fs::read_dir(folder().join("golden")).expect("the folder of cases").flatten() {
        let files = std::fs::read_dir(command.path()).expect("a folder per command").flatten();
        found.extend(
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "cmd")),
        );
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

#[test]
fn commands_print_what_was_agreed() {
    let state = std::env::temp_dir().join(format!("meshctl-golden-{}", std::process::id()));
    std::fs::create_dir_all(&state).unwrap();
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = String::new();
    for case in cases() {
        let lines = std::fs::read_to_string(&case).unwrap();
        let lines = lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let got = lines.map(|line| run(line, &state)).collect::<Vec<_>>().join("\n");
        let file = case.with_extension("out");
        if bless {
            std::fs::write(&file, got).unwrap();
            continue;
        }
        let want = std::fs::read_to_string(&file).unwrap_or_default();
        if got != want {
            let changed = meshctl::render::diff(&want, &got);
            writeln!(wrong, "{} (- agreed, + printed):\n{changed}", file.display()).unwrap();
        }
    }
    std::fs::remove_dir_all(&state).unwrap();
    assert!(wrong.is_empty(), "{wrong}BLESS=1 agrees to it");
}
