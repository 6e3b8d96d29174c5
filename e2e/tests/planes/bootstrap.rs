//! What no control plane of ours says yet: filters of a bootstrap file, which drives a stock Envoy and our proxy alike. Both must
//! give the same status, body and headers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use e2e::client::{Ask, Reply};
use e2e::laptop::free_ports;
use e2e::origin::{self, Origin};
use e2e::process::{Folder, Process};
use e2e::programs::{envoy, program};

const BOOTSTRAP: &str = r#"
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ADMIN}}}
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: LISTEN}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          xff_num_trusted_hops: 1
          route_config:
            name: all
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {match: {path: /nowhere}, direct_response: {status: 204}}
              - {match: {prefix: /old}, route: {cluster: origin, prefix_rewrite: /new, timeout: 5s}}
              - {match: {prefix: /}, route: {cluster: origin, timeout: 5s}}
          http_filters:
FILTERS
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: SUPPRESS
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: origin
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ORIGIN}}}}]}]
"#;

const RBAC: &str = r#"
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules: RULES
"#;

/// Both planes on one file, with an origin behind them.
struct Both {
    _folder: Folder,
    _origin: Origin,
    planes: Vec<(&'static str, Process, SocketAddr)>,
}

impl Both {
    fn start(name: &str, filters: &str, suppress: bool) -> Self {
        let folder = Folder::new(name);
        let origin = origin::start(name);
        let mut planes = Vec::new();
        for which in ["envoy", "ours"] {
            let [listen, admin] = free_ports();
            let text = BOOTSTRAP
                .replace("FILTERS", filters.trim_matches('\n'))
                .replace("SUPPRESS", &suppress.to_string())
                .replace("LISTEN", &listen.port().to_string())
                .replace("ADMIN", &admin.port().to_string())
                .replace("ORIGIN", &origin.address.port().to_string());
            let file = folder.path().join(format!("{which}.yaml"));
            std::fs::write(&file, text).unwrap();
            planes.push((which, started(which, folder.path(), &file), listen));
        }
        let mut both = Both { _folder: folder, _origin: origin, planes };
        for (which, process, listen) in &mut both.planes {
            process.until(&format!("{which} answers"), || match Ask::get("/ready").send(*listen) {
                Ok(reply) => Ok(reply),
                Err(error) => Err(error.to_string()),
            });
        }
        both
    }

    /// The answer of each, Envoy's first.
    fn ask(&self, ask: &Ask<'_>) -> [Reply; 2] {
        let mut replies = self.planes.iter().map(|(which, _, listen)| {
            ask.send(*listen).unwrap_or_else(|error| panic!("{which} {}: {error}", ask.path))
        });
        [replies.next().unwrap(), replies.next().unwrap()]
    }
}

/// A plane on a bootstrap file.
pub(crate) fn started(which: &str, folder: &Path, file: &Path) -> Process {
    let mut command = Command::new(if which == "envoy" { envoy() } else { program("proxy") });
    command.arg("-c").arg(file).args(["--concurrency", "1", "-l", "error"]);
    if which == "envoy" {
        command.arg("--use-dynamic-base-id");
    }
    Process::start(which, folder, &mut command)
}

/// What must be equal of an answer: all but what changes from one to the next.
fn told(reply: &Reply) -> String {
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-envoy-upstream-service-time"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    headers.sort();
    format!(
        "{}\n{}\n{}",
        reply.status,
        headers.join("\n"),
        if reply.status == 403 { &*reply.body } else { "" }
    )
}

/// Method, path, headers, and the status that both give.
type Call = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16);

#[test]
fn authorization() {
    let deny = r#"{action: DENY, policies: {
        "b: by path": {permissions: [{url_path: {path: {prefix: /admin}}}], principals: [{any: true}]},
        "a: by header": {permissions: [{header: {name: x-role, string_match: {exact: guest}}}], principals: [{any: true}]},
        "c: by method": {permissions: [{and_rules: {rules: [{header: {name: ":method", string_match: {exact: DELETE}}},
            {not_rule: {url_path: {path: {safe_regex: {regex: "/tmp/[a-z]+"}}}}}]}}], principals: [{any: true}]},
        "d: by address": {permissions: [{any: true}], principals: [{remote_ip: {address_prefix: 203.0.113.0, prefix_len: 24}}]},
        "e: by certificate": {permissions: [{any: true}], principals: [{authenticated: {}}]}}}"#;
    let allow = r#"{action: ALLOW, policies: {
        "everything": {permissions: [{or_rules: {rules: [{url_path: {path: {prefix: /}}}, {destination_port: 1}]}}],
            principals: [{and_ids: {ids: [{direct_remote_ip: {address_prefix: 127.0.0.0, prefix_len: 8}},
                {not_id: {header: {name: x-blocked, present_match: true}}}]}}]}}}"#;
    let filters: Vec<String> =
        [deny, allow].map(|rules| RBAC.trim_matches('\n').replace("RULES", rules)).into();
    let both = Both::start("rbac", &filters.join("\n"), false);
    let calls: [Call; 12] = [
        ("GET", "/", &[], 200),
        ("GET", "/admin", &[], 403),
        ("GET", "/administration?x=1", &[], 403),
        ("GET", "/x?/admin", &[], 200),
        ("GET", "/", &[("x-role", "guest")], 403),
        ("GET", "/", &[("x-role", "guests")], 200),
        ("DELETE", "/", &[], 403),
        ("DELETE", "/tmp/file", &[], 200),
        ("GET", "/", &[("x-forwarded-for", "203.0.113.9, 10.0.0.1")], 403),
        ("GET", "/", &[("x-forwarded-for", "10.0.0.1, 203.0.113.9")], 200),
        ("GET", "/", &[("x-blocked", "")], 403),
        ("GET", "/nowhere", &[("x-blocked", "1")], 403),
    ];
    for (method, path, headers, status) in calls {
        let [theirs, ours] = both.ask(&Ask { method, ..Ask::get(path).headers(headers) });
        assert_eq!(told(&theirs), told(&ours), "{method} {path} {headers:?}");
        assert_eq!(ours.status, status, "{method} {path} {headers:?}");
    }
}

#[test]
fn rules_that_allow_nothing() {
    let both = Both::start("rbac-none", &RBAC.replace("RULES", "{action: ALLOW}"), false);
    let [theirs, ours] = both.ask(&Ask::get("/"));
    assert_eq!(told(&theirs), told(&ours));
    assert_eq!((ours.status, ours.body.as_str()), (403, "RBAC: access denied"));
}

#[test]
fn headers_of_the_router_are_suppressed() {
    for suppress in [true, false] {
        let both = Both::start("suppress", "", suppress);
        let [theirs, ours] = both.ask(&Ask::get("/old/x"));
        for reply in [&theirs, &ours] {
            assert_eq!(reply.status, 200, "{reply}");
            assert_eq!(reply.header("x-envoy-upstream-service-time").is_empty(), suppress, "{reply}");
            let request = reply.json();
            assert_eq!(request["path"], "/new/x", "{reply}");
            let arrived = request["headers"].to_string();
            for name in ["x-envoy-original-path", "x-envoy-expected-rq-timeout-ms"] {
                assert_eq!(arrived.contains(name), !suppress, "{name}: {arrived}");
            }
        }
    }
}
