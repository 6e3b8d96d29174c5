//! One proxy in this process, from a bootstrap text to its end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::run::*;
use super::threads::runtime;
use crate::settings::{Bootstrap, Settings, Source};

const BOOT: &str = r#"
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: strict
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    listener_filters:
    - name: tls
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}
    filter_chains: [{filter_chain_match: {transport_protocol: tls}}]
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: hello}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"#;

fn settings(text: &str, admin: &std::path::Path) -> Settings {
    Settings {
        source: Source::Bootstrap(Box::new(Bootstrap { text: text.into(), ..Bootstrap::default() })),
        concurrency: Some(2),
        drain: Duration::from_secs(5),
        exit_on_zero: None,
        admin_address_path: Some(admin.to_owned()),
    }
}

fn get(address: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn serves_tells_and_ends() {
    let file = std::env::temp_dir().join(format!("proxy-admin-{}", std::process::id()));
    let settings = settings(BOOT, &file);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (started, start) = tokio::sync::oneshot::channel();
    let extras = Extras { levels: None, stop: Some(stopped), started: Some(started) };
    let proxy = std::thread::spawn(move || run(settings, extras));
    let process = start.blocking_recv().unwrap();
    let admin: SocketAddr = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    std::fs::remove_file(&file).unwrap();
    let web = runtime().unwrap().block_on(process.listeners.opened("web"));

    let answer = get(web, "GET /");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    assert!(get(admin, "GET /ready").ends_with("LIVE\n"));
    let stats = get(admin, "GET /stats?filter=downstream_rq_2xx");
    assert!(stats.ends_with("http.web.downstream_rq_2xx: 1\n"), "{stats}");
    let decision = get(admin, "GET /debug/decide?listener=web&host=a&path=/");
    assert!(decision.contains("\"respond\": 200"), "{decision}");
    assert!(get(admin, "GET /config_dump?resource=static_listeners").contains("\"name\": \"web\""));
    assert!(get(admin, "POST /logging?level=debug").starts_with("HTTP/1.1 503"));

    // Plain text where no chain takes it: a reset, as from Envoy.
    let strict = runtime().unwrap().block_on(process.listeners.opened("strict"));
    let mut plain = TcpStream::connect(strict).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let refused = plain.read(&mut [0; 8]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(get(admin, "GET /stats?filter=strict.no_filter").ends_with("no_filter_chain_match: 1\n"));

    // An idle connection holds nobody back.
    let idle = TcpStream::connect(web).unwrap();
    drop(stop);
    proxy.join().unwrap().unwrap();
    assert!(TcpStream::connect(web).is_err());
    drop(idle);
}

#[test]
fn a_bad_bootstrap_is_refused_by_field() {
    let refused = |text: &str| {
        let bootstrap = Bootstrap { text: text.into(), path: "b.yaml".into(), ..Bootstrap::default() };
        validate(&bootstrap).unwrap_err().chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    let error = refused("static_resources: {clusters: [{name: a, typ: STATIC}]}");
    assert!(error.contains("b.yaml") && error.contains("clusters[0].typ"), "{error}");
    let error = refused(&BOOT.replace("http.router.v3", "http.lua.v3"));
    assert!(error.contains("listeners[1]") && error.contains("http_filters[0]"), "{error}");
    validate(&Bootstrap { text: BOOT.into(), ..Bootstrap::default() }).unwrap();
}
