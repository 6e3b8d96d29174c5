//! The conformance suite h2spec against both planes, in clear text and under TLS, on one bootstrap file. What ours fails is
//! listed in `docs/differences.md` with the reason, and Envoy must fail it too.

use std::collections::BTreeSet;
use std::process::Command;

use e2e::bootstrapped::{Parts, Plane, TLS};
use e2e::origin;

use crate::differences::DIFFERENCES;

/// Fewer tests than this, and it is not the suite that we mean.
const TESTS: usize = 146;

/// What one run says.
struct Verdict {
    tests: usize,
    /// `http2/3.5 name of the test`.
    failed: BTreeSet<String>,
}

/// Runs the suite. A plane that does not answer a test costs the suite's timeout, two seconds.
fn run(plane: &Plane, tls: bool) -> Verdict {
    let report = plane.folder.path().join("report.xml");
    let suite =
        std::env::var_os("MESH_H2SPEC").expect("MESH_H2SPEC names an h2spec; run cargo xtask test planes");
    let mut command = Command::new(suite);
    command.args(["-h", "127.0.0.1", "-p", &plane.listen.port().to_string(), "-j"]).arg(&report);
    if tls {
        command.args(["-t", "-k"]);
    }
    // It ends with 1 where a test failed; the report says which.
    let output = command.output().unwrap();
    let text = std::fs::read_to_string(&report).unwrap_or_else(|error| {
        panic!("h2spec wrote no report: {error}\n{}", String::from_utf8_lossy(&output.stdout))
    });
    verdict(&text)
}

fn verdict(report: &str) -> Verdict {
    let attribute = |case: &str, name: &str| -> String {
        let value = case.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
        value.map(|(value, _)| value.to_string()).unwrap_or_default()
    };
    let cases: Vec<&str> = report.split("<testcase ").skip(1).collect();
    let failed = cases.iter().filter(|case| case.contains("<failure") || case.contains("<error"));
    let failed =
        failed.map(|case| format!("{} {}", attribute(case, "package"), attribute(case, "classname")));
    Verdict { tests: cases.len(), failed: failed.collect() }
}

#[test]
#[ignore = "needs h2spec, which cargo xtask test planes builds"]
fn both_planes() {
    let origin = origin::start("h2spec");
    let kinds =
        ["name: one", TLS].map(|chain| Plane::both(origin.address, Parts { chain, ..Parts::default() }));
    // All four at once: Envoy spends a minute in timeouts.
    let [plain, tls] = std::thread::scope(|scope| {
        let all = [(&kinds[0], false), (&kinds[1], true)];
        let runs =
            all.map(|(planes, tls)| planes.each_ref().map(|plane| scope.spawn(move || run(plane, tls))));
        runs.map(|both| both.map(|run| run.join().unwrap()))
    });
    let mut wrong = Vec::new();
    for (kind, [envoy, ours]) in [("plain", plain), ("tls", tls)] {
        println!(
            "h2spec, {kind}: ours {} of {}, Envoy {} of {}",
            ours.tests - ours.failed.len(),
            ours.tests,
            envoy.tests - envoy.failed.len(),
            envoy.tests
        );
        if ours.tests < TESTS || envoy.tests < TESTS {
            wrong.push(format!("{kind}: {} and {} tests, not {TESTS}", ours.tests, envoy.tests));
        }
        for failed in &ours.failed {
            if !DIFFERENCES.h2spec(kind, failed) {
                wrong.push(format!("{kind}: ours fails, and docs/differences.md does not say so: {failed}"));
            }
            if !envoy.failed.contains(failed) {
                wrong.push(format!("{kind}: ours fails what Envoy passes: {failed}"));
            }
        }
        for row in DIFFERENCES.h2spec_rows(kind) {
            if !ours.failed.contains(row) {
                wrong.push(format!("{kind}: ours passes, and docs/differences.md says that it fails: {row}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn reports_are_read() {
    let verdict = verdict(
        r#"<testsuite package="http2/3.5"><testcase package="http2/3.5" classname="Sends a" time="0"></testcase>
        <testcase package="http2/3.5" classname="Sends b" time="0"><failure>x</failure></testcase></testsuite>"#,
    );
    assert_eq!(verdict.tests, 2);
    assert_eq!(verdict.failed, BTreeSet::from(["http2/3.5 Sends b".to_string()]));
}
