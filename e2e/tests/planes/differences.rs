//! What may differ between the planes: read from `docs/differences.md`, and from nowhere else. A case names the row
//! that excuses it; a row that excuses nothing fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

/// The document's tables.
pub(crate) struct Differences {
    /// Header, and whether it may be `absent` on one side; else only its value may differ.
    headers: BTreeMap<String, bool>,
    /// Name of an answer that differs, with the status of Envoy and of ours.
    answers: BTreeMap<String, [Option<u16>; 2]>,
    /// Tests of h2spec that ours fails: `plain` or `tls`, section and name.
    h2spec: BTreeSet<(String, String)>,
}

/// All of them.
pub(crate) static DIFFERENCES: LazyLock<Differences> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/differences.md");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Differences::read(&text)
});

impl Differences {
    fn read(text: &str) -> Self {
        let (mut headers, mut answers, mut h2spec) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for line in text.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let name = cells.get(1).and_then(|cell| cell.strip_prefix('`')?.strip_suffix('`'));
            match (name, &cells[..]) {
                (Some(name), [_, _, what @ ("value" | "absent"), _why, _]) => {
                    headers.insert(name.to_string(), *what == "absent");
                }
                (Some(name), [_, _, kind @ ("plain" | "tls"), _why, _]) => {
                    h2spec.insert((kind.to_string(), name.to_string()));
                }
                (Some(name), [_, _, _request, envoy, ours, _why, _]) => {
                    let status = |cell: &str| cell.get(..3)?.parse().ok();
                    answers.insert(name.to_string(), [status(envoy), status(ours)]);
                }
                (Some(name), _) => panic!("differences.md: the row {name} is in no known table: {cells:?}"),
                (None, _) => {}
            }
        }
        assert!(!headers.is_empty() && !answers.is_empty(), "differences.md has lost its tables");
        Differences { headers, answers, h2spec }
    }

    /// Whether a test of h2spec may fail.
    pub(crate) fn h2spec(&self, kind: &str, test: &str) -> bool {
        self.h2spec_rows(kind).any(|row| row == test)
    }

    /// Tests of h2spec that fail.
    pub(crate) fn h2spec_rows(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.h2spec.iter().filter(move |(of, _)| of == kind).map(|(_, test)| &**test)
    }

    /// The statuses of a row: Envoy's and ours, where it names one.
    pub(crate) fn statuses(&self, name: &str) -> Option<[Option<u16>; 2]> {
        self.answers.get(name).copied()
    }

    /// Whether a header's two values need no comparison.
    pub(crate) fn excuses_header(&self, name: &str, envoy: Option<&str>, ours: Option<&str>) -> bool {
        match self.headers.get(name) {
            Some(true) => envoy.is_none() || ours.is_none(),
            Some(false) => envoy.is_some() && ours.is_some(),
            None => false,
        }
    }

    /// What is wrong with a call that says that it differs: it must, and in the documented way.
    pub(crate) fn judge(&self, name: &str, statuses: [Option<u16>; 2], found: &[String]) -> Option<String> {
        let Some(row) = self.answers.get(name) else {
            return Some(format!("docs/differences.md has no row named {name}"));
        };
        if found.is_empty() {
            return Some(format!("the planes agree: {name} is no difference any more"));
        }
        let as_written = row.iter().zip(statuses).all(|(row, status)| row.is_none() || *row == status);
        (!as_written)
            .then(|| format!("{name}: the statuses are {statuses:?}, docs/differences.md says {row:?}"))
    }
}

/// Each row of the document is used by a case.
#[test]
fn every_documented_difference_has_its_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planes");
    let mut text = String::new();
    for folder in [folder.clone(), folder.join("cases"), folder.join("strict")] {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            text.push_str(&std::fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
    let used: BTreeSet<&str> = text
        .split("differs: ")
        .skip(1)
        .map(|rest| rest.trim_start_matches("Some(\""))
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next())
        .collect();
    let shown: BTreeSet<&str> = crate::strict::rows().collect();
    let is_used = |name: &str| used.contains(name) || shown.contains(name);
    let unused: Vec<&String> = DIFFERENCES.answers.keys().filter(|name| !is_used(name)).collect();
    assert!(unused.is_empty(), "documented, and excuses nothing: {unused:?}");
    let unknown: Vec<&&str> = shown.iter().filter(|name| !DIFFERENCES.answers.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "docs/differences.md lacks {unknown:?}");
}
