//! Stages of a test run: named, timed, counted; a failed one does not hide the others.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::sh;

/// Tests counted from the closing lines of the test runner.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

impl Counts {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            ignored: self.ignored + other.ignored,
        }
    }
}

/// One line of the closing table.
struct Row {
    name: String,
    took: Duration,
    counts: Counts,
    error: Option<String>,
}

/// All stages of one run.
#[derive(Default)]
pub(crate) struct Stages {
    rows: Vec<Row>,
}

impl Stages {
    /// Runs one stage and keeps its outcome.
    pub(crate) fn stage(&mut self, name: &str, work: impl FnOnce() -> Result<Counts>) {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let (counts, error) = match work() {
            Ok(counts) if counts.failed > 0 => (counts, Some(format!("{} failed", counts.failed))),
            Ok(counts) => (counts, None),
            Err(error) => (Counts::default(), Some(format!("{error:#}"))),
        };
        self.rows.push(Row { name: name.into(), took: start.elapsed(), counts, error });
    }

    /// Prints the table; fails when any stage failed or nothing ran at all.
    pub(crate) fn close(self) -> Result<()> {
        println!("\n{:<10} {:>8} {:>7} {:>7} {:>8}", "stage", "seconds", "passed", "failed", "ignored");
        let mut total = Counts::default();
        let mut broken = 0;
        for row in &self.rows {
            let c = row.counts;
            let seconds = row.took.as_secs_f64();
            println!("{:<10} {seconds:>8.1} {:>7} {:>7} {:>8}", row.name, c.passed, c.failed, c.ignored);
            total.passed += c.passed;
            total.failed += c.failed;
            total.ignored += c.ignored;
            if let Some(error) = &row.error {
                println!("           FAILED: {error}");
                broken += 1;
            }
        }
        let failed = total.failed.max(broken);
        println!("\n{} passed, {failed} failed, {} skipped", total.passed, total.ignored);
        if failed > 0 {
            bail!("{broken} of {} stages failed", self.rows.len());
        }
        Ok(())
    }
}

/// Runs a test program, passing its output through, and counts its `test result:` lines.
pub(crate) fn counted(command: &mut Command) -> Result<Counts> {
    let line = sh::show(command);
    eprintln!("+ {line}");
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;
    let out = child.stdout.take().expect("stdout was piped");
    let mut counts = Counts::default();
    for text in BufReader::new(out).lines() {
        let text = text?;
        println!("{text}");
        add(&mut counts, &text);
    }
    let status = child.wait()?;
    if !status.success() && counts.failed == 0 {
        bail!("`{line}` ended with {status}");
    }
    Ok(counts)
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; ...`
fn add(counts: &mut Counts, line: &str) {
    let Some(rest) = line.trim_start().strip_prefix("test result:") else { return };
    for part in rest.split(['.', ';']) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(what)) = (words.next().and_then(|w| w.parse::<usize>().ok()), words.next())
        else {
            continue;
        };
        match what {
            "passed" => counts.passed += number,
            "failed" => counts.failed += number,
            "ignored" => counts.ignored += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_closing_lines() {
        let mut counts = Counts::default();
        add(&mut counts, "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out");
        add(&mut counts, "test foo ... ok");
        add(&mut counts, "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured");
        assert_eq!((counts.passed, counts.failed, counts.ignored), (14, 3, 1));
    }
}
