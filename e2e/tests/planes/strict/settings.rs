//! Settings of connection managers: each of their values at both planes, which must make of a request's path and headers
//! the same, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use super::backend::Record;
use super::oracle::Message;
use super::stage::{self, Side};
use super::talk::talk;
use crate::differences::DIFFERENCES;

/// A row of differences, and whether it may apply to a setting and a request.
type Row = (&'static str, fn(&str, &str) -> bool);

/// What a client sends on a connection of its own.
struct Asked {
    bytes: Vec<u8>,
}

fn asked(text: &str) -> Asked {
    Asked { bytes: format!("{text}host: app.example.com\r\nconnection: close\r\n\r\n").into_bytes() }
}

/// Asks everything under every setting, and compares.
fn compare(settings: &[(String, String)], requests: &[Asked], rows: &[Row]) -> [Side; 2] {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, text)| (&**name, &**text)).collect();
    let sides = stage::both(&(Arc::new(|_: &str| None) as _), &settings);
    let (wrong, excused) = (Mutex::new(Vec::new()), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for (number, (name, _)) in settings.iter().enumerate() {
            let (sides, wrong, excused) = (&sides, &wrong, &excused);
            scope.spawn(move || {
                for request in requests {
                    let [envoy, ours] = [0, 1].map(|which| answer(&sides[which], number, &request.bytes));
                    let text = String::from_utf8_lossy(&request.bytes).into_owned();
                    match rows.iter().find(|(_, applies)| applies(name, &text)) {
                        Some((row, _)) if envoy != ours => drop(excused.lock().unwrap().insert(*row)),
                        _ if envoy == ours => {}
                        _ => wrong
                            .lock()
                            .unwrap()
                            .push(format!("{name}: {text:?}\n   envoy {envoy}\n   ours  {ours}")),
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    let excused = excused.into_inner().unwrap();
    for (row, _) in rows {
        assert!(DIFFERENCES.statuses(row).is_some(), "docs/differences.md has no row {row}");
        if !excused.contains(row) {
            wrong.push(format!("{row} is no difference any more"));
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    sides
}

/// Status, location, and what the origin got.
fn answer(side: &Side, setting: usize, bytes: &[u8]) -> String {
    let got = talk(side.listen[setting], &[bytes], true, &side.method()).unwrap();
    let mut text = String::new();
    for answer in got.answers {
        write!(text, "{:?} {}", answer.interim, answer.status).unwrap();
        for location in answer.message.values("location") {
            write!(text, " to {}", location.escape_ascii()).unwrap();
        }
        if let Some(Record::Message(message)) = answer.seen.and_then(|seen| side.backend.record(seen)) {
            let sent = String::from_utf8_lossy(bytes);
            write!(text, " <- {} {} {}", message.start.0, message.start.1, fields(&message, &sent)).unwrap();
        }
    }
    text
}

/// Header lines, several of a name joined. In `x-forwarded-for` an address that the client did not send is the plane's
/// own idea of who the client is, which differs on loopback.
fn fields(message: &Message, sent: &str) -> String {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &message.headers {
        // Drawn for each request where the client brings none.
        let drawn = name == "x-request-id" && value.len() == 36;
        let all = joined.entry(name).or_default();
        if !all.is_empty() {
            all.push(',');
        }
        all.push_str(&if drawn { "drawn".into() } else { value.escape_ascii().to_string() });
    }
    if let Some(all) = joined.get_mut("x-forwarded-for") {
        let own = |one: &str| if sent.contains(one.trim()) { one.to_string() } else { "(client)".into() };
        *all = all.split(',').map(own).collect::<Vec<_>>().join(",");
    }
    format!("{joined:?}")
}

/// Spellings of paths.
const PATHS: &[&str] = &[
    "/",
    "/a/b",
    "/a//b",
    "//a",
    "/a//",
    "/a///b//",
    "/./a",
    "/a/.",
    "/a/..",
    "/a/../b",
    "/../a",
    "/a/../../b",
    "/a/./b/../c",
    "/a/b/../../../c",
    "/.",
    "/..",
    "/...",
    "/a/...",
    "/.a",
    "/a..b",
    "/a/.b",
    "/a/b.",
    "/a/b..",
    "/%2e/a",
    "/a/%2e%2e/b",
    "/a/%2E./b",
    "/a/.%2e",
    "/%2e%2e%2fa",
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/a%5Cb",
    "/a%2f..%2fb",
    "/a%2f%2e%2e/b",
    "/a/%2f/b",
    "/a%2f%2fb",
    "/a%2f/b",
    "/%2f",
    "/%2f%2f",
    "/%5c",
    "/%5c%2f%5c",
    "/a\\b",
    "/a\\..\\b",
    "/a\\\\b",
    "\\a",
    "/a%252fb",
    "/a%252e%252e",
    "/%61",
    "/%41%7e%2d%5f",
    "/%7f",
    "/%20",
    "/%zz",
    "/%",
    "/%2",
    "/a%2",
    "/a/%2%65%2%65/b",
    "/%%41",
    "/%00",
    "/a%00b",
    "/%0a",
    "/%c3%a9",
    "/%C3%A9",
    "/a;b",
    "/a;/../b",
    "/a/..;/b",
    "/a/.;x=y/b",
    "/a/b/..;",
    "/..;/a",
    "/a/...;/b",
    "/a..;/b",
    "/a/..%3b/b",
    "/a/..;%2fb/c",
    "/a/b/..;/..;x/c",
    "/a/%2e%2e;/b",
    "/a/.%2e;x/b",
    "/a/..;\\b",
    "/a?b",
    "/a?/../b",
    "/a?%2f",
    "/a/..?b",
    "/a%3fb",
    "/a%23b",
    "/a#b",
    "/a/b?c=%2e%2e//d",
    "/a//b?c//d",
    "/a%2fb?c%2fd",
    "/a/../b?x#y",
    "/[a]",
    "/{a}",
    "/a|b",
    "/a^b",
    "/a`b",
    "/a\"b",
    "/a<b>",
    "/a'b",
    "/a!$&()*+,=:@b",
    "/~a",
    "/a~",
    "/%7Ea",
    "http://app.example.com//a/../b",
    "http://app.example.com/%2f",
    "*",
    "",
];

#[test]
fn paths() {
    let mut settings = Vec::new();
    for normalize in [true, false] {
        for merge in [true, false] {
            for action in [
                "KEEP_UNCHANGED",
                "REJECT_REQUEST",
                "UNESCAPE_AND_REDIRECT",
                "UNESCAPE_AND_FORWARD",
                "IMPLEMENTATION_SPECIFIC_DEFAULT",
            ] {
                settings.push((
                    format!("paths_{normalize}_{merge}_{action}"),
                    format!("normalize_path: {normalize}\n          merge_slashes: {merge}\n          path_with_escaped_slashes_action: {action}"),
                ));
            }
        }
    }
    let mut requests: Vec<Asked> =
        PATHS.iter().map(|path| asked(&format!("GET {path} HTTP/1.1\r\n"))).collect();
    for path in ["/a%2fb", "/a/../b", "/%00"] {
        requests.push(asked(&format!(
            "POST {path} HTTP/1.1\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n"
        )));
    }
    // differs: only-slashes
    let slashes: Row = ("only-slashes", |name, text| {
        let path = text.split(' ').nth(1).unwrap_or_default().trim_start_matches("http://app.example.com");
        name.contains("_true_UNESCAPE")
            && path.replace("%2f", "/").replace("%5c", "/").bytes().all(|b| b == b'/')
    });
    // differs: open-escape
    let escape: Row = ("open-escape", |name, text| {
        name.contains("paths_true") && (text.contains("%2%65") || text.contains("%%41"))
    });
    // differs: dot-parameters
    let parameters: Row = ("dot-parameters", |name, text| {
        name.contains("paths_true") && ["2e;", "..;\\", "..;%2f"].iter().any(|part| text.contains(part))
    });
    let sides = compare(&settings, &requests, &[slashes, escape, parameters]);
    for (name, _) in &settings {
        for stat in [
            "downstream_rq_failed_path_normalization",
            "downstream_rq_redirected_with_normalized_path",
            "downstream_rq_non_relative_path",
        ] {
            let [envoy, ours] = [0, 1].map(|which| sides[which].stat(&format!("http.{name}.{stat}")));
            assert_eq!(envoy, ours, "{name} {stat}");
        }
    }
}

#[test]
fn underscores() {
    let settings: Vec<(String, String)> = ["ALLOW", "REJECT_REQUEST", "DROP_HEADER"]
        .map(|action| {
            (
                action.to_lowercase(),
                format!("common_http_protocol_options: {{headers_with_underscores_action: {action}}}"),
            )
        })
        .into();
    let requests = [
        "",
        "x_a: b\r\n",
        "x-a: b\r\nx_a: c\r\nX_A: d\r\n",
        "_: a\r\n",
        "a_: b\r\n",
        "content_length: 5\r\n",
        "x-a: b_c\r\n",
        "host_: a\r\n",
        "x__y: z\r\nx-y: w\r\n",
    ]
    .map(|lines| asked(&format!("GET /x_y?a_b HTTP/1.1\r\n{lines}")));
    compare(&settings, &requests, &[]);
}

/// Lines that say where a request came from, or that are for proxies among themselves.
const LINES: &[&str] = &[
    "",
    "x-forwarded-for: 1.2.3.4\r\n",
    "x-forwarded-for: 1.2.3.4, 5.6.7.8\r\n",
    "x-forwarded-for: 10.0.0.1\r\n",
    "x-forwarded-for: 10.0.0.1, 192.168.0.1,172.16.0.1\r\n",
    "x-forwarded-for: x\r\n",
    "x-forwarded-for: \r\n",
    "x-forwarded-for: 1.2.3.4,\r\n",
    "x-forwarded-for: 1.2.3.4:80\r\n",
    "x-forwarded-for: ::1\r\n",
    "x-forwarded-for: [::1]:80\r\n",
    "x-forwarded-for: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\n",
    "x-forwarded-proto: https\r\n",
    "x-forwarded-proto: http\r\n",
    "x-forwarded-proto: HTTPS\r\n",
    "x-forwarded-proto: ftp\r\n",
    "x-forwarded-proto: \r\n",
    "x-forwarded-proto: https\r\nx-forwarded-proto: http\r\n",
    "x-forwarded-host: other\r\n",
    "x-forwarded-port: 8443\r\n",
    "forwarded: for=1.2.3.4\r\n",
    "x-real-ip: 1.2.3.4\r\n",
    "true-client-ip: 1.2.3.4\r\n",
    "via: 1.1 x\r\n",
    "x-request-id: mine\r\n",
    "x-request-id: mine\r\nx-forwarded-for: 10.0.0.1\r\n",
    "x-client-trace-id: x\r\n",
    "x-forwarded-client-cert: By=a;Hash=b\r\n",
    "x-forwarded-client-cert: a\r\nx-forwarded-client-cert: b\r\n",
    "x-envoy-internal: true\r\n",
    "x-envoy-external-address: 1.2.3.4\r\n",
    "x-envoy-retry-on: 5xx\r\n",
    "x-envoy-retry-grpc-on: cancelled\r\n",
    "x-envoy-max-retries: 9\r\n",
    "x-envoy-retriable-status-codes: 404\r\n",
    "x-envoy-retriable-header-names: x\r\n",
    "x-envoy-upstream-alt-stat-name: x\r\n",
    "x-envoy-upstream-rq-timeout-ms: 1500\r\n",
    "x-envoy-upstream-rq-per-try-timeout-ms: 1500\r\n",
    "x-envoy-upstream-rq-timeout-alt-response: 1\r\n",
    "x-envoy-expected-rq-timeout-ms: 5\r\n",
    "x-envoy-force-trace: 1\r\n",
    "x-envoy-ip-tags: a\r\n",
    "x-envoy-original-path: /o\r\n",
    "x-envoy-original-url: /o\r\n",
    "x-envoy-original-host: o\r\n",
    "x-envoy-downstream-service-cluster: a\r\n",
    "x-envoy-downstream-service-node: a\r\n",
    "x-envoy-hedge-on-per-try-timeout: true\r\n",
    "x-envoy-decorator-operation: a\r\n",
    "x-envoy-attempt-count: 7\r\n",
    "x-envoy-degraded: 1\r\n",
    "x-envoy-immediate-health-check-fail: 1\r\n",
    "x-envoy-overloaded: 1\r\n",
    "x-envoy-ratelimited: 1\r\n",
    "x-envoy-upstream-service-time: 1\r\n",
    "x-envoy-upstream-stream-duration-ms: 900\r\n",
    "x-envoy-peer-metadata-id: a\r\n",
    "x-envoy-is-timeout-retry: 1\r\n",
    "x-envoy-retry-on: 5xx\r\nx-forwarded-for: 10.0.0.1\r\n",
    "x-envoy-internal: true\r\nx-forwarded-for: 10.0.0.1\r\n",
    "x-envoy-peer-metadata: a\r\n",
    "x-envoy-lb-hint: a\r\n",
    "keep-alive: timeout=5\r\n",
    "proxy-connection: keep-alive\r\n",
    "te: trailers\r\n",
    "te: gzip\r\n",
    "te: trailers, gzip;q=1\r\n",
    "trailer: x\r\n",
    "transfer-encoding: chunked\r\nx-none: 1\r\n",
    "upgrade: websocket\r\n",
    "upgrade: h2c\r\n",
    "proxy-authorization: x\r\n",
    "proxy-authenticate: x\r\n",
    "expect: 100-continue\r\n",
    "expect: 100-Continue\r\n",
    "expect: other\r\n",
    "cookie: a=b\r\ncookie: c=d\r\n",
    "max-forwards: 0\r\n",
    "accept-encoding: gzip\r\n",
    "content-type: a\r\n",
    "x-mesh-protocol: 1.0\r\n",
    "x-a: \u{e9}\r\n",
    "X-UPPER: Case\r\n",
    "traceparent: x\r\n",
    "x-b3-traceid: x\r\n",
    "baggage: x\r\n",
    "server: x\r\n",
    "date: x\r\n",
    "user-agent: x\r\n",
    "from: x\r\n",
];

/// Headers that say where a request came from, or that are for proxies among themselves.
#[test]
fn origins() {
    let mut settings = Vec::new();
    for remote in [true, false] {
        for hops in [0, 1, 2] {
            for skip in [true, false] {
                settings.push((
                    format!("origin_{remote}_{hops}_{skip}"),
                    format!("use_remote_address: {remote}\n          xff_num_trusted_hops: {hops}\n          skip_xff_append: {skip}"),
                ));
            }
        }
    }
    for mode in ["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"] {
        settings.push((format!("cert_{mode}"), format!("forward_client_cert_details: {mode}\n          set_current_client_cert_details: {{uri: true, dns: true, cert: true, chain: true, subject: true}}")));
    }
    for (name, text) in [
        ("continue", "proxy_100_continue: true"),
        ("keep_id", "preserve_external_request_id: true\n          use_remote_address: true"),
        ("no_id", "generate_request_id: false"),
        ("old", "http_protocol_options: {accept_http_10: true}"),
        ("strip", "strip_any_host_port: true"),
    ] {
        settings.push((name.into(), text.into()));
    }
    let mut requests: Vec<Asked> = LINES.iter()
        .map(|lines| match lines.contains("chunked") {
            true => Asked { bytes: format!("POST /x HTTP/1.1\r\n{lines}host: app.example.com\r\nconnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n").into_bytes() },
            false => asked(&format!("GET /x HTTP/1.1\r\n{lines}")),
        })
        .collect();
    for nominated in [
        "x-forwarded-for",
        "x-forwarded-client-cert",
        "x-envoy-retry-on",
        "x-request-id",
        "te",
        "cookie",
        "x-a",
        "keep-alive",
    ] {
        requests.push(Asked {
            bytes: format!("GET /x HTTP/1.1\r\nhost: app.example.com\r\nconnection: close, {nominated}\r\n{nominated}: trailers\r\n\r\n").into_bytes(),
        });
    }
    for (line, host) in [
        ("GET /x HTTP/1.0", "a"),
        ("GET /x HTTP/1.1", "a:80"),
        ("GET /x HTTP/1.1", "[::1]:80"),
        ("GET http://b:81/x HTTP/1.1", "a:80"),
        ("GET https://b/x HTTP/1.1", "a"),
        ("GET /x HTTP/1.0", "a\r\nconnection: keep-alive"),
    ] {
        requests.push(Asked {
            bytes: format!("{line}\r\nhost: {host}\r\nconnection: close\r\n\r\n").into_bytes(),
        });
    }
    // differs: client-policy, differs: empty-proto
    let rows: [Row; 2] = [
        ("client-policy", |name, text| {
            let asks = ["x-envoy-retr", "x-envoy-max-retries", "x-envoy-upstream-rq-"]
                .iter()
                .any(|name| text.contains(name));
            asks && !name.starts_with("origin_true") && name != "keep_id"
        }),
        ("empty-proto", |_, text| text.contains("x-forwarded-proto: \r\n")),
    ];
    compare(&settings, &requests, &rows);
}
