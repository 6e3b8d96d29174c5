//! Two data planes, one control plane: our pilot feeds a stock Envoy and our proxy the same objects; both are gateways,
//! each on a port of its own, started from the same bootstrap file. What they answer is compared by the tests.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::{Ask, Reply};
use crate::laptop::free_ports;
use crate::origin::Origin;
use crate::process::{Folder, Process};
use crate::programs::{envoy, program};

/// Which data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plane {
    Envoy,
    Ours,
}

/// Both planes and their pilot.
pub struct Planes {
    folder: Folder,
    pub pilot: Process,
    pub xds: SocketAddr,
    pub debug: SocketAddr,
    running: Vec<Running>,
}

/// One plane, and where it listens.
struct Running {
    plane: Plane,
    process: Process,
    gateway: SocketAddr,
    admin: SocketAddr,
    /// The connection that requests with `keep` share.
    kept: Option<TcpStream>,
}

impl Planes {
    /// Starts pilot on a folder with `objects`, and both planes. In the text `ORIGIN_NAME_PORT` becomes the port of an
    /// origin, and `GATEWAYS` the names of the two Gateway objects that are made here.
    #[track_caller]
    pub fn start(objects: &str, origins: &[Origin]) -> Self {
        let folder = Folder::new("planes");
        let [xds, debug, envoy_port, our_port, envoy_admin, our_admin] = free_ports();
        let config = folder.path().join("config");
        std::fs::create_dir_all(&config).expect("a folder");
        let mut planes = Planes {
            pilot: start_pilot(folder.path(), &config, xds, debug),
            folder,
            xds,
            debug,
            running: Vec::new(),
        };
        planes.write("objects.yaml", objects, origins);
        planes.gateways(&[(Plane::Envoy, envoy_port), (Plane::Ours, our_port)]);
        for (plane, gateway, admin) in
            [(Plane::Envoy, envoy_port, envoy_admin), (Plane::Ours, our_port, our_admin)]
        {
            let process = planes.start_plane(plane, admin);
            planes.running.push(Running { plane, process, gateway, admin, kept: None });
        }
        planes.ready();
        planes
    }

    /// Writes objects into pilot's folder, replacing a file of the same name.
    pub fn write(&self, name: &str, objects: &str, origins: &[Origin]) {
        let mut text = objects.replace("GATEWAYS", "[istio-system/gateway-envoy, istio-system/gateway-ours]");
        text = text.replace("EXTRA", "[istio-system/extra-envoy, istio-system/extra-ours]");
        for origin in origins {
            let word = format!("ORIGIN_{}_PORT", origin.name.to_uppercase());
            text = text.replace(&word, &origin.address.port().to_string());
        }
        let path = self.folder.path().join("config").join(name);
        let part = path.with_extension("part");
        std::fs::write(&part, text).expect("the folder can be written");
        std::fs::rename(part, path).expect("a file can be renamed");
    }

    /// Another Gateway for each plane, with `servers` as its list of servers: `PORT_1` to `PORT_4` become ports of the
    /// plane's own, which are returned. Routes name both as `EXTRA`.
    pub fn extra(&self, servers: &str) -> [[SocketAddr; 4]; 2] {
        let mut text = String::new();
        let ports = [Plane::Envoy, Plane::Ours].map(|plane| {
            let ports = free_ports();
            let servers = (1..).zip(&ports).fold(servers.to_string(), |text, (number, address): (u32, &SocketAddr)| {
                text.replace(&format!("PORT_{number}"), &address.port().to_string())
            });
            text.push_str(&format!(
                "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: extra-{0}, namespace: istio-system}}\n\
                 spec:\n  selector: {{plane: {0}}}\n  servers:\n{servers}\n",
                word(plane),
            ));
            ports
        });
        self.write("extra.yaml", &text, &[]);
        ports
    }

    /// The folder of this test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn gateways(&self, ports: &[(Plane, SocketAddr)]) {
        let mut text = String::new();
        for (plane, address) in ports {
            text.push_str(&format!(
                "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gateway-{0}, namespace: istio-system}}\n\
                 spec:\n  selector: {{plane: {0}}}\n  servers:\n  - port: {{number: {1}, name: http, protocol: HTTP}}\n    hosts: ['*']\n",
                word(*plane),
                address.port()
            ));
        }
        text.push_str(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    \
             accessLogFile: /dev/stdout\n",
        );
        self.write("gateways.yaml", &text, &[]);
    }

    fn start_plane(&self, plane: Plane, admin: SocketAddr) -> Process {
        let file = self.folder.path().join(format!("{}.yaml", word(plane)));
        std::fs::write(&file, bootstrap(plane, self.xds, admin)).expect("the folder can be written");
        let program = if plane == Plane::Envoy { envoy() } else { program("proxy") };
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).args(["--concurrency", "1", "-l", "warning"]);
        if plane == Plane::Envoy {
            // Its access log is otherwise on disk after ten seconds only.
            command.args(["--use-dynamic-base-id", "--file-flush-interval-msec", "20"]);
        }
        Process::start(word(plane), self.folder.path(), &mut command)
    }

    /// Waits until both planes answer anything on their gateway port.
    #[track_caller]
    fn ready(&mut self) {
        for Running { plane, process, gateway, .. } in &mut self.running {
            let address = *gateway;
            process.until(&format!("{plane:?} serves its gateway"), || {
                Ask::get("/").host("ready.example.com").send(address).map_err(|error| error.to_string())
            });
        }
    }

    /// The same request to both; what each answered.
    ///
    /// # Panics
    /// When a plane has ended.
    #[track_caller]
    pub fn ask(&mut self, ask: &Ask) -> [(Plane, Result<Reply, String>); 2] {
        let mut replies = self.running.iter_mut().map(|running| {
            if let Err(ended) = running.process.alive() {
                panic!("{ended}");
            }
            // Origins that count tell the planes apart by this.
            let mut headers = ask.headers.to_vec();
            headers.push(("x-plane", word(running.plane)));
            let ask = Ask { headers: &headers, ..ask.clone() };
            (running.plane, running.ask(&ask).map_err(|error| error.to_string()))
        });
        let both = (replies.next(), replies.next());
        let (Some(first), Some(second)) = both else { unreachable!("two planes were started") };
        [first, second]
    }

    /// Lines of a plane's access log so far.
    pub fn access_log(&self, plane: Plane) -> Vec<String> {
        let (out, _) = self.of(plane).process.output();
        out.lines().filter(|line| line.starts_with("[20")).map(str::to_string).collect()
    }

    /// A page of a plane's admin port.
    ///
    /// # Errors
    /// It does not answer.
    pub fn admin(&self, plane: Plane, path: &str) -> Result<Reply, String> {
        Ask::get(path).send(self.of(plane).admin).map_err(|error| error.to_string())
    }

    /// Where a plane's gateway listens.
    pub fn gateway(&self, plane: Plane) -> SocketAddr {
        self.of(plane).gateway
    }

    fn of(&self, plane: Plane) -> &Running {
        let found = self.running.iter().find(|running| running.plane == plane);
        found.expect("both planes were started")
    }
}

impl Running {
    fn ask(&mut self, ask: &Ask) -> io::Result<Reply> {
        if !ask.keep {
            return ask.send(self.gateway);
        }
        let mut stream = match self.kept.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.gateway)?,
        };
        let reply = ask.over(&mut stream)?;
        let closes = reply.header("connection").contains("close");
        self.kept = (!closes).then_some(stream);
        Ok(reply)
    }
}

fn word(plane: Plane) -> &'static str {
    match plane {
        Plane::Envoy => "envoy",
        Plane::Ours => "ours",
    }
}

/// pilot over a folder, with its ports on loopback.
#[track_caller]
pub fn start_pilot(folder: &Path, config: &PathBuf, xds: SocketAddr, debug: SocketAddr) -> Process {
    let [secure, monitoring] = free_ports();
    let mut command = Command::new(program("pilot"));
    command.arg("--config-dir").arg(config).arg("--ca-dir").arg(folder.join("ca"));
    command.args(["--grpcAddr", &xds.to_string(), "--httpAddr", &debug.to_string()]);
    command.args(["--secureGRPCAddr", &secure.to_string(), "--monitoringAddr", &monitoring.to_string()]);
    let mut pilot = Process::start("pilot", folder, &mut command);
    pilot.until("pilot is ready", || {
        let reply = Ask::get("/ready").send(debug).map_err(|error| error.to_string())?;
        if reply.status == 200 { Ok(()) } else { Err(reply.to_string()) }
    });
    pilot
}

/// A bootstrap file that a stock Envoy and our proxy both take.
pub fn bootstrap(plane: Plane, xds: SocketAddr, admin: SocketAddr) -> String {
    let (name, xds_port, admin_port) = (word(plane), xds.port(), admin.port());
    format!(
        r#"node:
  id: router~127.0.0.1~gateway-{name}.istio-system~istio-system.svc.cluster.local
  cluster: gateway.istio-system
  locality: {{region: r1, zone: z1}}
  metadata:
    NAMESPACE: istio-system
    NAME: gateway-{name}
    CLUSTER_ID: Kubernetes
    LABELS: {{plane: {name}}}
    INSTANCE_IPS: 127.0.0.1
admin:
  address: {{socket_address: {{address: 127.0.0.1, port_value: {admin_port}}}}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{{envoy_grpc: {{cluster_name: xds-grpc}}}}]
  cds_config: {{ads: {{}}, resource_api_version: V3}}
  lds_config: {{ads: {{}}, resource_api_version: V3}}
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: xds-grpc
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {xds_port}}}}}}}
"#
    )
}
