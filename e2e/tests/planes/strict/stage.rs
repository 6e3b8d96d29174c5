//! Both planes on one bootstrap file, each before a recording origin of its own.

use std::net::SocketAddr;
use std::process::Command;

use e2e::client::Ask;
use e2e::laptop::free_ports;
use e2e::process::{Folder, Process};
use e2e::programs::{envoy, program};

use super::backend::{Backend, Record, Script};

const BOOTSTRAP: &str = r#"
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ADMIN}}}
static_resources:
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {thresholds: [{max_connections: 4000, max_pending_requests: 4000, max_requests: 4000}]}
    load_assignment:
      cluster_name: origin
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ORIGIN}}}}]}]
  listeners:
"#;

/// Timeouts are what ends a connection on which a plane waits for more than was sent.
const LISTENER: &str = r#"
  - name: NAME
    address: {socket_address: {address: 127.0.0.1, port_value: LISTEN}}
    filter_chains:
    - TRANSPORT
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: NAME
          request_timeout: 2s
          request_headers_timeout: 2s
          upgrade_configs: [{upgrade_type: websocket}]
          SETTINGS
          route_config:
            name: all
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {match: {prefix: /early}, direct_response: {status: 403, body: {inline_string: never}}}
              - {match: {prefix: /moved}, redirect: {path_redirect: /elsewhere}}
              - {match: {prefix: /}, route: {cluster: origin, timeout: 3s}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#;

/// What the framing of messages is judged under.
pub(crate) const PLAIN: (&str, &str) =
    ("in", "normalize_path: true\n          common_http_protocol_options: {idle_timeout: 3s}");

/// The same where HTTP/1.0 is taken.
pub(crate) const OLD: (&str, &str) = (
    "old",
    "http_protocol_options: {accept_http_10: true}\n          common_http_protocol_options: {idle_timeout: 3s}",
);

/// A plane and what stands behind it.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    /// One for each setting.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) backend: Backend,
    process: Process,
    _folder: Folder,
}

impl Side {
    fn start(name: &'static str, script: &Script, settings: &[(&str, &str)], transport: &str) -> Self {
        for _ in 0..5 {
            let side = Side::once(name, script.clone(), settings, transport);
            // Between the choice of a port and its use somebody else may take it.
            let stolen = |port: &SocketAddr| match Ask::get("/ready").send(*port) {
                Ok(reply) => reply.header("x-seen").is_empty(),
                Err(_) => false,
            };
            if !side.listen.iter().any(stolen) {
                return side;
            }
        }
        panic!("{name}: its ports are taken again and again");
    }

    fn once(name: &'static str, script: Script, settings: &[(&str, &str)], transport: &str) -> Self {
        let folder = Folder::new(&format!("strict-{name}"));
        let backend = Backend::start(script);
        // All at once, so that none is handed out twice.
        let [admin, ports @ ..] = free_ports::<48>();
        assert!(settings.len() <= ports.len(), "more settings than ports");
        let mut text = BOOTSTRAP
            .replace("ADMIN", &admin.port().to_string())
            .replace("ORIGIN", &backend.address.port().to_string());
        let mut listen = Vec::new();
        for ((prefix, settings), port) in settings.iter().zip(ports) {
            let listener = LISTENER.replace("NAME", prefix).replace("SETTINGS", settings);
            let listener = listener.replace("TRANSPORT", transport);
            text.push_str(listener.replace("LISTEN", &port.port().to_string()).trim_start_matches('\n'));
            listen.push(port);
        }
        let file = folder.path().join("bootstrap.yaml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(if name == "envoy" { envoy() } else { program("proxy") });
        command.arg("-c").arg(file).args(["--concurrency", "1", "-l", "error"]);
        if name == "envoy" {
            command.arg("--use-dynamic-base-id");
        }
        let mut process = Process::start(name, folder.path(), &mut command);
        for port in &listen {
            process.until(&format!("{name} listens"), || {
                std::net::TcpStream::connect(*port).map_err(|error| error.to_string())
            });
        }
        Side { name, listen, admin, backend, process, _folder: folder }
    }

    /// The process ends, and with it every connection: the origin's records are complete soon after.
    pub(crate) fn stop(&mut self) {
        self.process.alive().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        self.process.kill();
    }

    /// The method of the request that an answer is to, as the origin saw it.
    pub(crate) fn method(&self) -> impl Fn(usize, Option<usize>) -> Option<String> {
        |_, seen| match self.backend.record(seen?)? {
            Record::Message(message) => Some(message.start.0),
            _ => None,
        }
    }

    /// The value of a counter.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let reply = Ask::get("/stats").send(self.admin).unwrap();
        let line = reply.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }
}

/// Our plane alone.
pub(crate) fn ours(script: &Script, settings: &[(&str, &str)]) -> Side {
    Side::start("ours", script, settings, "name: plain")
}

/// Envoy first. `settings`: a listener for each, by its name and what its connection manager is told.
pub(crate) fn both(script: &Script, settings: &[(&str, &str)]) -> [Side; 2] {
    both_over(script, settings, "name: plain")
}

/// The same where `transport` is a transport socket.
pub(crate) fn both_over(script: &Script, settings: &[(&str, &str)], transport: &str) -> [Side; 2] {
    ["envoy", "ours"].map(|name| Side::start(name, script, settings, transport))
}
