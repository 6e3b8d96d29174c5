//! A data plane on a bootstrap file of its own, without a control plane: one listener that speaks HTTP, one origin behind it.
//!
//! In: what the file says beyond that, as YAML. Out: a running stock Envoy or proxy, and where it listens. Used by tests
//! of what no object of the mesh says: limits of the process, clocks, the codec.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::client::Ask;
use crate::laptop::free_ports;
use crate::process::{Folder, Process};
use crate::programs::{envoy, program};

const FILE: &str = r#"
admin: {ignore_global_conn_limit: true, address: {socket_address: {address: 127.0.0.1, port_value: ADMIN}}}
PROCESS
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: LISTEN}}
    LISTENER
    filter_chains:
    - CHAIN
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          MANAGER
          route_config: {name: all, virtual_hosts: [{name: all, domains: ["*"], routes: [ROUTES]}]}
          http_filters:
          FILTERS
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              ROUTER
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: origin
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ORIGIN}}}}]}]
"#;

/// A filter chain's transport socket with a certificate for `localhost`.
pub const TLS: &str = r#"transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - {certificate_chain: {filename: FOLDER/cert.pem}, private_key: {filename: FOLDER/key.pem}}"#;

/// What is put into the file, with the indentation of its place. The default leaves it plain.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// At the top.
    pub process: &'a str,
    pub listener: &'a str,
    /// Of the filter chain.
    pub chain: &'a str,
    /// Of the HTTP connection manager.
    pub manager: &'a str,
    /// Separated by commas; by default everything goes to the cluster `origin`.
    pub routes: &'a str,
    /// HTTP filters before the router, and fields of the router.
    pub filters: &'a str,
    pub router: &'a str,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Parts {
            process: "",
            listener: "",
            chain: "name: one",
            manager: "",
            routes: "{match: {prefix: /}, route: {cluster: origin, timeout: 5s}}",
            filters: "",
            router: "",
        }
    }
}

/// A running plane.
pub struct Plane {
    /// `envoy` or `ours`.
    pub which: &'static str,
    pub process: Process,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub folder: Folder,
}

impl Plane {
    /// Both kinds, Envoy first.
    #[track_caller]
    pub fn both(origin: SocketAddr, parts: Parts<'_>) -> [Plane; 2] {
        ["envoy", "ours"].map(|which| Plane::start(which, origin, parts))
    }

    /// Starts one and waits until it listens.
    #[track_caller]
    pub fn start(which: &'static str, origin: SocketAddr, parts: Parts<'_>) -> Plane {
        let folder = Folder::new(which);
        let [listen, admin] = free_ports();
        let text = FILE
            .replace("PROCESS", parts.process)
            .replace("LISTENER", parts.listener)
            .replace("CHAIN", parts.chain)
            .replace("MANAGER", parts.manager)
            .replace("ROUTES", parts.routes)
            .replace("FILTERS", parts.filters.trim())
            .replace("ROUTER", parts.router)
            .replace("FOLDER", &folder.path().display().to_string())
            .replace("LISTEN", &listen.port().to_string())
            .replace("ADMIN", &admin.port().to_string())
            .replace("ORIGIN", &origin.port().to_string());
        let write = |name: &str, text: String| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).expect("the folder can be written");
            file
        };
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]);
        let made = made.expect("a certificate for localhost");
        write("cert.pem", made.cert.pem());
        write("key.pem", made.signing_key.serialize_pem());
        let file = write("bootstrap.yaml", text);
        let mut command = Command::new(if which == "envoy" { envoy() } else { program("proxy") });
        command.arg("-c").arg(&file).args(["--concurrency", "1", "-l", "error"]);
        if which == "envoy" {
            command.arg("--use-dynamic-base-id");
        }
        let mut process = Process::start(which, folder.path(), &mut command);
        process.until(&format!("{which} is ready"), || match Ask::get("/ready").send(admin) {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        process.until(&format!("{which} listens"), || {
            TcpStream::connect(listen).map(drop).map_err(|error| error.to_string())
        });
        Plane { which, process, listen, admin, folder }
    }

    /// Sum of the counters and gauges whose names end so.
    pub fn counter(&self, end: &str) -> u64 {
        let page = Ask::get("/stats").send(self.admin).expect("the admin port answers").body;
        let lines = page.lines().filter_map(|line| line.split_once(": "));
        let named = lines.filter(|(name, _)| name.ends_with(end));
        named.filter_map(|(_, value)| value.trim().parse::<u64>().ok()).sum()
    }
}
