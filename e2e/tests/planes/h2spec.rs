//! The conformance suite h2spec against both planes, in clear text and under TLS, on one bootstrap file. What ours fails is
//! listed in `docs/differences.md` with the reason, and Envoy must fail it too.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use e2e::laptop::free_ports;
use e2e::origin;
use e2e::process::{Folder, Process};

use crate::bootstrap::started;
use crate::differences::DIFFERENCES;

const BOOTSTRAP: &str = r#"
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ADMIN}}}
static_resources:
  listeners:
  - name: plain
    address: {socket_address: {address: 127.0.0.1, port_value: PLAIN}}
    filter_chains:
    - filters:
      - &manager
        name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            name: all
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: /}, route: {cluster: origin, timeout: 5s}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  - name: tls
    address: {socket_address: {address: 127.0.0.1, port_value: TLS}}
    filter_chains:
    - filters: [*manager]
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - {certificate_chain: {filename: FOLDER/cert.pem}, private_key: {filename: FOLDER/key.pem}}
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: origin
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ORIGIN}}}}]}]
"#;

/// Fewer tests than this, and it is not the suite that we mean.
const TESTS: usize = 146;

/// What one run says.
struct Verdict {
    tests: usize,
    /// `http2/3.5 name of the test`.
    failed: BTreeSet<String>,
}

/// Runs the suite. A plane that does not answer a test costs the suite's timeout, two seconds.
fn run(to: SocketAddr, tls: bool, report: &Path) -> Verdict {
    let suite =
        std::env::var_os("MESH_H2SPEC").expect("MESH_H2SPEC names an h2spec; run cargo xtask test planes");
    let mut command = Command::new(suite);
    command.args(["-h", "127.0.0.1", "-p", &to.port().to_string(), "-j"]).arg(report);
    if tls {
        command.args(["-t", "-k"]);
    }
    // It ends with 1 where a test failed; the report says which.
    let output = command.output().unwrap();
    let text = std::fs::read_to_string(report).unwrap_or_else(|error| {
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
    let folder = Folder::new("h2spec");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let origin = origin::start("h2spec");
    let planes: Vec<(&str, Process, [SocketAddr; 2])> = ["envoy", "ours"]
        .map(|which| {
            let [plain, tls, admin] = free_ports();
            let text = BOOTSTRAP
                .replace("PLAIN", &plain.port().to_string())
                .replace("TLS", &tls.port().to_string())
                .replace("ADMIN", &admin.port().to_string())
                .replace("FOLDER", &folder.path().display().to_string())
                .replace("ORIGIN", &origin.address.port().to_string());
            let file = folder.path().join(format!("{which}.yaml"));
            std::fs::write(&file, text).unwrap();
            let mut process = started(which, folder.path(), &file);
            for address in [plain, tls] {
                process.until(&format!("{which} listens"), || {
                    std::net::TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
                });
            }
            (which, process, [plain, tls])
        })
        .into();
    // All four at once: Envoy spends a minute in timeouts.
    let verdicts: Vec<[Verdict; 2]> = std::thread::scope(|scope| {
        let runs: Vec<_> = planes
            .iter()
            .map(|(which, _, [plain, tls])| {
                let report = |kind| folder.path().join(format!("{which}-{kind}.xml"));
                let (first, second) = (report("plain"), report("tls"));
                [
                    scope.spawn(move || run(*plain, false, &first)),
                    scope.spawn(move || run(*tls, true, &second)),
                ]
            })
            .collect();
        runs.into_iter().map(|both| both.map(|run| run.join().unwrap())).collect()
    });
    let [envoy, ours] = &verdicts[..] else { unreachable!("two planes") };
    let mut wrong = Vec::new();
    for ((kind, envoy), ours) in ["plain", "tls"].into_iter().zip(envoy).zip(ours) {
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
