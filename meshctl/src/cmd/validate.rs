//! `meshctl validate`: are these files right, without any mesh?
//!
//! In: files, folders or standard input. Out: `"FILE" is valid` for each good one, every finding with file and line
//! for the others, and exit code 65 if something would be refused.

use std::collections::HashSet;

use anyhow::Result;
use api::{Code, Finding, Findings, Kind, Severity};
use clap::Args;

use super::printed::{BadUsage, Printed, code, some_objects, texts};
use crate::globals::{Globals, Short};
use crate::local::input::Text;

/// Check files without a mesh
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl validate -f bookinfo-gateway.yaml\n  \
    meshctl validate -f samples/bookinfo\n  \
    kubectl get vs -o yaml | meshctl validate -f -")]
pub struct Validate {
    /// Files or folders; - is standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", value_delimiter = ',')]
    filename: Vec<String>,
    /// The same
    #[arg(value_name = "FILE|DIR|-", hide = true)]
    more: Vec<String>,
    /// Also what other objects must have: accepted, `analyze` does it
    #[arg(short = 'x', long, hide = true)]
    referential: bool,
    #[command(flatten)]
    flags: Short,
}

/// Runs it.
///
/// # Errors
/// No file, or one that cannot be read.
pub fn run(args: &Validate, globals: &Globals) -> Result<Printed> {
    let names: Vec<String> = args.filename.iter().chain(&args.more).cloned().collect();
    if names.is_empty() {
        let text = "say which files: meshctl validate -f FILE|DIR|- (several times if needed)";
        return Err(BadUsage(text.to_owned()).into());
    }
    let texts = texts(&names)?;
    some_objects(&texts)?;
    Ok(report(&texts, globals.with(&args.flags).namespace()))
}

fn report(texts: &[Text], namespace: &str) -> Printed {
    let mut printed = Printed::default();
    let mut refused = 0;
    for text in texts {
        let findings = check(text, namespace);
        for finding in &findings {
            printed.err.push_str(&format!("{finding}\n"));
        }
        let warned = findings.iter().any(|finding| finding.severity == Severity::Warning);
        match (findings.has_errors(), warned) {
            (true, _) => refused += findings.count(Severity::Error),
            (false, true) => printed.out.push_str(&format!("{:?} is valid, with warnings\n", text.name)),
            (false, false) => printed.out.push_str(&format!("{:?} is valid\n", text.name)),
        }
    }
    if refused > 0 {
        let errors = if refused == 1 { "1 error".to_owned() } else { format!("{refused} errors") };
        printed.err.push_str(&format!("Error: {errors} in {}\n", files(texts.len())));
        printed.code = code::DATA;
    }
    printed
}

fn files(count: usize) -> String {
    if count == 1 { "this file".to_owned() } else { format!("these {count} files") }
}

/// Everything that is wrong with one text.
fn check(text: &Text, namespace: &str) -> Findings {
    let parsed = api::parse_in(&text.name, &text.text, namespace);
    let mut findings = parsed.findings;
    let mut seen = HashSet::new();
    for object in &parsed.objects {
        findings.extend(api::honoured::told(object));
        let key = object.key();
        if !seen.insert(key.clone()) && key.kind != Kind::Unknown {
            let message = "the same object stands in this file twice; the last one counts";
            let finding = Finding::new(Code::DuplicateObject, message).severity(Severity::Warning);
            findings.push(finding.about(key).at(&object.origin().file, object.origin().line));
        }
    }
    findings.sort();
    findings
}
