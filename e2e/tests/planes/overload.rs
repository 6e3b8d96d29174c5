//! Limits of the process and clocks over slow clients: both planes on one bootstrap file refuse alike, with the same flag,
//! and end the same connections in the same way.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use e2e::bootstrapped::{Parts, Plane, TLS};
use e2e::client::{Ask, Reply};
use e2e::until::eventually;

const ROUTES: &str = r#"{match: {path: /ok}, direct_response: {status: 200, body: {inline_string: fine}}},
            {match: {prefix: /}, route: {cluster: origin, timeout: 0s}}"#;
const LOG: &str = r#"access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: /dev/stdout
              log_format: {text_format_source: {inline_string: "LOG %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}}"#;

/// An origin that reads and never answers.
fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut waste = [0; 4096];
                while stream.read(&mut waste).is_ok_and(|n| n > 0) {}
            });
        }
    });
    address
}

fn planes(parts: Parts<'_>) -> [Plane; 2] {
    let manager = format!("{}\n          {LOG}", parts.manager);
    Plane::both(silent(), Parts { routes: ROUTES, manager: &manager, ..parts })
}

/// The first line of the access log, of those with this status; empty: of all.
fn line_of(plane: &Plane, status: &str) -> Result<String, String> {
    let (out, _) = plane.process.output();
    let first = out.lines().find(|line| line.starts_with(&format!("LOG {status}")));
    first.map(str::to_string).ok_or_else(|| format!("not logged: {out}"))
}

/// What a client gets that sends `text` and then waits for the end.
fn says(plane: &Plane, text: &str) -> String {
    let mut stream = TcpStream::connect(plane.listen).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    let end = loop {
        match stream.read(&mut piece) {
            Ok(0) => break "closed",
            Ok(n) => all.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break "closed",
            Err(_) => break "still open",
        }
    };
    let text = String::from_utf8_lossy(&all);
    // All lines but the headers that differ in order or from one moment to the next.
    let wanted = |line: &&str| {
        let header = ["content-length:", "content-type:", "date:", "server:"];
        !line.is_empty() && !header.iter().any(|name| line.to_ascii_lowercase().starts_with(name))
    };
    let lines: Vec<&str> = text.lines().filter(wanted).collect();
    format!("{lines:?} {end}")
}

/// Both planes give the same to the same bytes, and log the same of it.
#[track_caller]
fn alike(name: &str, parts: Parts<'_>, text: &str, logged: bool) -> Vec<String> {
    let both: Vec<(String, String)> = planes(parts)
        .iter()
        .map(|plane| {
            let said = says(plane, text);
            let log = match logged {
                true => eventually(&format!("{name}: {} logs", plane.which), || line_of(plane, "")),
                false => String::new(),
            };
            (said, log)
        })
        .collect();
    println!("{name}: {:?}", both[1]);
    let mut wrong = Vec::new();
    if both[0] != both[1] {
        wrong.push(format!("{name}:\n  envoy {:?}\n  ours  {:?}", both[0], both[1]));
    }
    if both[1].0.contains("still open") {
        wrong.push(format!("{name}: nobody closed"));
    }
    wrong
}

#[test]
fn slow_clients() {
    const INSPECTOR: &str = r#"listener_filters_timeout: 0.4s
    listener_filters:
    - name: envoy.filters.listener.tls_inspector
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}"#;
    let half = "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf";
    let two = "GET /x HTTP/1.1\r\nhost: a\r\n\r\nGET /ok HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let get = "GET /ok HTTP/1.1\r\nhost: a\r\n\r\n";
    let manager = |manager| Parts { manager, ..Parts::default() };
    let tls = format!("transport_socket_connect_timeout: 0.4s\n      {TLS}");
    let cases = [
        ("a slow head", manager("request_headers_timeout: 0.4s"), "GET /ok HTTP/1.1\r\nhost:", true),
        ("a slow body", manager("request_timeout: 0.4s"), half, true),
        ("silence in a body", manager("stream_idle_timeout: 0.4s"), half, true),
        (
            // The connection goes on with the next request.
            "silence of the upstream",
            manager("stream_idle_timeout: 0.4s"),
            two,
            true,
        ),
        ("an idle connection", manager("common_http_protocol_options: {idle_timeout: 0.4s}"), get, true),
        ("silence from the start", manager("common_http_protocol_options: {idle_timeout: 0.4s}"), "", false),
        (
            "an old connection",
            manager(
                "common_http_protocol_options: {max_connection_duration: 0.4s}\n          drain_timeout: 0.2s",
            ),
            get,
            true,
        ),
        (
            "a client that stays after the end",
            manager("delayed_close_timeout: 0.4s"),
            "GET / HTTP/9\r\n\r\n",
            true,
        ),
        ("silence before the handshake", Parts { chain: &tls, ..Parts::default() }, "", false),
        ("silence before the inspection", Parts { listener: INSPECTOR, ..Parts::default() }, "", false),
    ];
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = cases
            .into_iter()
            .map(|(name, parts, text, logged)| scope.spawn(move || alike(name, parts, text, logged)))
            .collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "the planes differ\n{}", wrong.join("\n"));
}

fn told(reply: &Reply) -> String {
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-envoy-upstream-service-time"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    headers.sort();
    format!("{} {} {:?}", reply.status, headers.join(", "), reply.body)
}

/// A memory of one byte is always full.
const FULL: &str = r#"overload_manager:
  refresh_interval: 0.05s
  resource_monitors:
  - name: envoy.resource_monitors.fixed_heap
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig
      max_heap_size_bytes: 1
  actions:
  - name: envoy.overload_actions.ACTION
    triggers: [{name: envoy.resource_monitors.fixed_heap, threshold: {value: 0.95}}]"#;

fn full(action: &str) -> [Plane; 2] {
    planes(Parts { process: &FULL.replace("ACTION", action), ..Parts::default() })
}

#[test]
fn memory_is_used_up() {
    let mut wrong = Vec::new();
    for (action, counter, done) in [
        ("stop_accepting_requests", "downstream_rq_overload_close", (503, "")),
        ("disable_http_keepalive", "downstream_cx_overload_disable_keepalive", (200, "close")),
    ] {
        let both: Vec<(String, String)> = full(action)
            .iter()
            .map(|plane| {
                let ask = Ask { keep: true, ..Ask::get("/ok") };
                let reply = eventually(&format!("{action}: {} acts", plane.which), || {
                    let reply = ask.send(plane.listen).map_err(|error| error.to_string())?;
                    let acts = reply.status == done.0 && reply.header("connection") == done.1;
                    if acts { Ok(reply) } else { Err(reply.to_string()) }
                });
                assert!(plane.counter(counter) > 0, "{action}: {} counts it", plane.which);
                (told(&reply), eventually("it is logged", || line_of(plane, &done.0.to_string())))
            })
            .collect();
        if both[0] != both[1] {
            wrong.push(format!("{action}:\n  envoy {:?}\n  ours  {:?}", both[0], both[1]));
        }
    }
    for (action, counter) in [("reject_incoming_connections", "downstream_cx_overload_reject")] {
        for plane in full(action) {
            eventually(&format!("{action}: {} refuses", plane.which), || {
                match Ask::get("/ok").send(plane.listen) {
                    Err(_) => Ok(()),
                    Ok(reply) => Err(reply.to_string()),
                }
            });
            assert!(plane.counter(counter) > 0, "{action}: {} counts it", plane.which);
        }
    }
    assert!(wrong.is_empty(), "the planes differ\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_taken_off_the_sockets() {
    const ACTION: &str = "envoy.overload_actions.stop_accepting_connections";
    for plane in full("stop_accepting_connections") {
        // The kernel takes the connection, and there it waits.
        let mut waits = TcpStream::connect(plane.listen).unwrap();
        eventually(&format!("{} stops", plane.which), || match plane.counter(&format!("{ACTION}.active")) {
            1 => Ok(()),
            other => Err(other),
        });
        // One that came before it stopped may have been served.
        let unanswered = (0..3).any(|_| {
            waits = TcpStream::connect(plane.listen).unwrap();
            waits.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            waits.write_all(b"GET /ok HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            let kinds = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
            waits.read(&mut [0; 1]).is_err_and(|error| kinds.contains(&error.kind()))
        });
        assert!(unanswered, "{} goes on", plane.which);
    }
}

/// Where the pressure goes the connections that waited are served. Envoy knows no such pressure for this action.
#[test]
fn what_waited_is_taken_afterwards() {
    const PROCESS: &str = r#"overload_manager:
  refresh_interval: 0.05s
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: 4
  actions:
  - name: envoy.overload_actions.stop_accepting_connections
    triggers: [{name: envoy.resource_monitors.global_downstream_max_connections, threshold: {value: 0.5}}]"#;
    let manager = format!("codec_type: AUTO\n          {LOG}");
    let parts = Parts { process: PROCESS, routes: ROUTES, manager: &manager, ..Parts::default() };
    let plane = Plane::start("ours", silent(), parts);
    let active = || plane.counter("stop_accepting_connections.active");
    let ask = Ask { keep: true, ..Ask::get("/ok") };
    let mut held: Vec<TcpStream> = Vec::new();
    eventually("it stops at two", || {
        if held.len() < 2 {
            held.push(TcpStream::connect(plane.listen).unwrap());
        }
        if active() == 1 { Ok(()) } else { Err(format!("{} held", held.len())) }
    });
    let mut waits = TcpStream::connect(plane.listen).unwrap();
    waits.set_read_timeout(Some(e2e::until::LIMIT)).unwrap();
    waits.write_all(b"GET /ok HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert_eq!(ask.over(&mut held[0]).unwrap().status, 200, "what was taken goes on");
    waits.set_nonblocking(true).unwrap();
    assert!(waits.read(&mut [0; 1]).is_err(), "the third waits");
    waits.set_nonblocking(false).unwrap();
    assert_eq!(active(), 1);
    held.clear();
    let mut start = [0; 12];
    waits.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200", "the third is served");
}

#[test]
fn connections_are_used_up() {
    const MONITOR: &str = r#"overload_manager:
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: 2"#;
    const RUNTIME: &str = "layered_runtime: {layers: [{name: static, static_layer: {overload: {global_downstream_max_connections: 2}}}]}";
    const LISTENER: &str = "layered_runtime: {layers: [{name: static, static_layer: {envoy.resource_limits.listener.in.connection_limit: 2}}]}";
    for (name, process, counter) in [
        ("monitor", MONITOR, "downstream_global_cx_overflow"),
        ("runtime", RUNTIME, "downstream_global_cx_overflow"),
        ("listener", LISTENER, ".downstream_cx_overflow"),
    ] {
        for plane in planes(Parts { process, ..Parts::default() }) {
            let ask = Ask { keep: true, ..Ask::get("/ok") };
            let served = |stream: &mut TcpStream| ask.over(stream).map_err(|error| error.to_string());
            // The connection of the start has to be gone first.
            let mut held = eventually(&format!("{name}: {} has two places", plane.which), || {
                let mut two =
                    [TcpStream::connect(plane.listen).unwrap(), TcpStream::connect(plane.listen).unwrap()];
                for stream in &mut two {
                    served(stream)?;
                }
                Ok::<_, String>(two)
            });
            let before = plane.counter(counter);
            let refused = Ask::get("/ok").send(plane.listen);
            assert!(refused.is_err(), "{name}: {} takes a third: {refused:?}", plane.which);
            assert_eq!(plane.counter(counter), before + 1, "{name}: {} counts it", plane.which);
            for stream in &mut held {
                assert_eq!(served(stream).unwrap().status, 200, "{name}: {} goes on", plane.which);
            }
            drop(held);
            eventually(&format!("{name}: {} has places again", plane.which), || {
                Ask::get("/ok").send(plane.listen)
            });
        }
    }
}
