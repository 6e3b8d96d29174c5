//! Facts to lines, labels and spans, through one shard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method};

use super::access_log::line;
use super::*;
use crate::config::Direction;
use crate::fail::Failure;

const TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
    %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
    \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
    %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \
    \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% \
    %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% \
    %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn facts() -> Facts {
    let conn = Conn {
        id: 7,
        peer: address("10.0.0.9:40000"),
        local: address("10.0.0.1:9080"),
        direction: Direction::Inbound,
        listener: "virtualInbound".into(),
        borrowed: None,
        tls: None,
        server_name: Some("outbound_.9080_._.reviews".into()),
        tcp_peer: parking_lot::Mutex::new(None),
        started: Instant::now(),
    };
    let mut request_headers = HeaderMap::new();
    request_headers.insert("user-agent", HeaderValue::from_static("curl/8"));
    let mut response_headers = HeaderMap::new();
    response_headers.insert("x-envoy-upstream-service-time", HeaderValue::from_static("3"));
    Facts {
        conn: Arc::new(conn),
        start: Instant::now(),
        start_wall: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        protocol: http::Version::HTTP_11,
        method: Method::GET,
        path: "/reviews/0?a=b".into(),
        authority: "reviews:9080".into(),
        scheme: "http".into(),
        request_headers,
        response_headers,
        trailers: HeaderMap::new(),
        rule: None,
        cluster: None,
        endpoint: None,
        upstream: Some(address("10.0.0.1:9080")),
        upstream_local: Some(address("127.0.0.6:5000")),
        upstream_tls: None,
        upstream_failure: None,
        status: 200,
        failures: Vec::new(),
        operation: None,
        details: Some("via upstream".into()),
        bytes_received: 0,
        bytes_sent: 42,
        request_head_bytes: 100,
        response_head_bytes: 50,
        request_messages: 0,
        response_messages: 0,
        grpc: false,
        grpc_status: None,
        attempts: 1,
        upstream_started: None,
        upstream_head: None,
        ended: Some(Duration::from_millis(5)),
        downstream_peer: None,
        upstream_peer: None,
        trace: Some(SpanContext {
            trace_id: 1 << 64 | 0xab,
            span_id: 0xcd,
            parent_id: Some(0xef),
            sampled: true,
        }),
    }
}

fn render(format: &str, facts: &Facts) -> String {
    let mut out = String::new();
    TextFormat::parse(format).unwrap().render(&Subject::Http(facts), &mut out);
    out
}

#[test]
fn the_default_text_line() {
    let mut out = String::new();
    let format = LogFormat::Text(TextFormat::parse(TEXT).unwrap());
    line(&format, &Subject::Http(&facts()), &mut out);
    let wanted = "[2023-11-14T22:13:20.123Z] \"GET /reviews/0?a=b HTTP/1.1\" 200 - via_upstream - \"-\" 0 42 5 3 \
        \"-\" \"curl/8\" \"-\" \"reviews:9080\" \"10.0.0.1:9080\" - 127.0.0.6:5000 10.0.0.1:9080 10.0.0.9:40000 \
        outbound_.9080_._.reviews -\n";
    assert_eq!(out, wanted);
}

#[test]
fn a_json_line_keeps_types() {
    let field = |key, format| (key, TextFormat::parse(format).unwrap());
    let format = LogFormat::Json(JsonFormat::new([
        field("code", "%RESPONSE_CODE%"),
        field("flags", "%RESPONSE_FLAGS%"),
        field("missing", "%REQ(X-NONE)%"),
        field("mixed", "a \"%PROTOCOL%\""),
        field("local \"port\"", "%DOWNSTREAM_LOCAL_PORT%"),
    ]));
    let mut failed = facts();
    failed.failures = vec![Failure::RetryExhausted, Failure::ConnectFailure];
    let mut out = String::new();
    line(&format, &Subject::Http(&failed), &mut out);
    assert_eq!(
        out,
        "{\"code\":200,\"flags\":\"URX,UF\",\"missing\":null,\"mixed\":\"a \\\"HTTP/1.1\\\"\",\"local \\\"port\\\"\":9080}\n"
    );
}

#[test]
fn operators() {
    let table = [
        ("%%", "%"),
        ("100%% %RESPONSE_CODE%", "100% 200"),
        ("%REQ(X-A?USER-AGENT):4%", "curl"),
        ("%REQ_WITHOUT_QUERY(:PATH)%", "/reviews/0"),
        ("%START_TIME(%Y/%m/%d %H:%M:%S.%3f)%", "2023/11/14 22:13:20.123"),
        ("%START_TIME(%s)%", "1700000000"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%:%DOWNSTREAM_LOCAL_PORT%", "10.0.0.9:9080"),
        ("%DYNAMIC_METADATA(istio:x)%|%FILTER_STATE(a:TYPED)%", "-|-"),
        ("%DOWNSTREAM_PEER_URI_SAN%", "-"),
        ("%TRACE_ID%", "000000000000000100000000000000ab"),
        ("%GRPC_STATUS% %CONNECTION_ID%", "- 7"),
    ];
    for (format, wanted) in table {
        assert_eq!(render(format, &facts()), wanted, "{format}");
    }
    for (bad, why) in [
        ("%NOPE%", "unknown operator"),
        ("%REQ(a", "no closing"),
        ("50%", "no closing"),
        ("%REQ(a b)%", "no header name"),
        ("%START_TIME(%E)%", "%E"),
    ] {
        let error = TextFormat::parse(bad).unwrap_err();
        assert!(error.contains(why), "{bad}: {error}");
    }
    assert_eq!(TextFormat::parse("%REQ(x-none)%").unwrap().header(&Subject::Http(&facts())), "");
}

#[test]
fn a_span_says_who_and_what() {
    let tracing = crate::config::Tracing {
        cluster: "zipkin".into(),
        path: "/api/v2/spans".into(),
        hostname: "zipkin".into(),
        sampling: 10_000,
        trace_id_128bit: true,
        tags: vec![("env".into(), crate::config::TagValue::Literal("test".into()))],
        max_path_len: 8,
    };
    let own = Own { service: "reviews.default".into(), node_id: "sidecar~1".into(), ..Own::default() };
    let span = super::span::span(&own, &tracing, &facts()).unwrap();
    assert_eq!(span["traceId"], "000000000000000100000000000000ab");
    assert_eq!(span["parentId"], "00000000000000ef");
    assert_eq!((&span["kind"], &span["duration"]), (&"SERVER".into(), &5000.into()));
    assert_eq!(span["localEndpoint"]["serviceName"], "reviews.default");
    assert_eq!(span["localEndpoint"]["port"], 9080);
    assert_eq!(span["tags"]["http.url"], "http://reviews:9080/reviews");
    assert_eq!(span["tags"]["env"], "test");
    assert_eq!(span["tags"]["http.status_code"], "200");
    assert!(span["tags"].get("error").is_none());
    let mut unsampled = facts();
    unsampled.trace = None;
    assert!(super::span::span(&own, &tracing, &unsampled).is_none());
}

#[test]
fn a_request_is_counted_once_everywhere() {
    use crate::worker::Observer;
    let registry = Registry::default();
    let (spans, _received) = tokio::sync::mpsc::channel(1);
    let own = Own { gateway: true, ..Own::default() };
    let ends = Ends { own: Arc::new(own), sinks: Sinks::default(), spans };
    let shard = Shard::new(ends, registry.store());
    let chain = chain("web", true);
    for authority in ["a", "b"] {
        let mut facts = facts();
        facts.authority = authority.into();
        shard.request(&chain, &facts);
    }
    let mut failed = facts();
    failed.status = 503;
    failed.failures = vec![Failure::NoHealthyUpstream];
    shard.request(&chain, &failed);
    shard.request(&self::chain("quiet", false), &facts());
    let totals = registry.totals();
    // The Host header of strangers makes no series of its own.
    let counts: Vec<u64> = totals.requests.values().map(|total| total.requests).collect();
    assert_eq!(counts.len(), 2, "{:?}", totals.requests.keys());
    assert_eq!(counts.iter().sum::<u64>(), 3);
    let good = totals.requests.iter().find(|(labels, _)| labels.contains("response_code=\"200\"")).unwrap().1;
    assert_eq!((good.duration.sum, good.request_bytes.sum, good.response_bytes.sum), (10, 200, 184));
    assert_eq!((totals.http["web"].requests, totals.http["web"].classes[5]), (3, 1));
    assert_eq!(totals.http["quiet"].requests, 1);
}

fn chain(prefix: &str, stats: bool) -> crate::config::HttpChain {
    let boot = r#"{static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}},
        filter_chains: [{filters: [{name: h, typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix: PREFIX, route_config: {}, http_filters: [STATS{name: r, typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}]}}"#;
    let filter = r#"{name: istio.stats, typed_config: {"@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
        type_url: "type.googleapis.com/stats.PluginConfig", value: {}}},"#;
    let text = boot.replace("PREFIX", prefix).replace("STATS", if stats { filter } else { "" });
    let live = base::Live::new(crate::config::Config::default());
    let mut store = crate::xds::Store::new(live.clone(), Arc::default());
    let changed = store.apply_fixed(crate::xds::boot(&text, "").unwrap().batch);
    assert!(changed.rejects.is_empty(), "{:?}", changed.rejects);
    drop(store);
    let listener = live.load().listeners["l"].clone();
    live.set(crate::config::Config::default());
    let listener = Arc::into_inner(listener).unwrap();
    let chain = Arc::into_inner(listener.chains.into_iter().next().unwrap()).unwrap();
    match chain.app {
        crate::config::App::Http(http) => Arc::into_inner(http).unwrap(),
        other => panic!("{other:?}"),
    }
}
