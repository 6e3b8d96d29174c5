//! What no control plane of ours says yet: filters of a bootstrap file, which drives a stock Envoy and our proxy alike. Both must
//! give the same status, body and headers.

use e2e::bootstrapped::{Parts, Plane};
use e2e::client::{Ask, Reply};
use e2e::origin::{self, Origin};

const ROUTES: &str = r#"
            {match: {path: /nowhere}, direct_response: {status: 204}},
            {match: {prefix: /old}, route: {cluster: origin, prefix_rewrite: /new, timeout: 5s}},
            {match: {prefix: /}, route: {cluster: origin, timeout: 5s}}"#;

const RBAC: &str = r#"
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules: RULES
"#;

/// Both planes on one file, with an origin behind them.
struct Both {
    _origin: Origin,
    planes: [Plane; 2],
}

impl Both {
    fn start(name: &str, filters: &str, suppress: bool) -> Self {
        let origin = origin::start(name);
        let router = format!("suppress_envoy_headers: {suppress}");
        let manager = "xff_num_trusted_hops: 1";
        let parts = Parts { manager, routes: ROUTES, filters, router: &router, ..Parts::default() };
        Both { planes: Plane::both(origin.address, parts), _origin: origin }
    }

    /// The answer of each, Envoy's first.
    fn ask(&self, ask: &Ask<'_>) -> [Reply; 2] {
        self.planes.each_ref().map(|plane| {
            ask.send(plane.listen).unwrap_or_else(|error| panic!("{} {}: {error}", plane.which, ask.path))
        })
    }
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
