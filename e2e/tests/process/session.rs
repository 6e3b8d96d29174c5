//! The session with pilot: restart without a resource, state-of-the-world clients, broken objects.

use std::process::Command;

use e2e::client::Ask;
use e2e::laptop::free_ports;
use e2e::origin;
use e2e::planes::{Plane, bootstrap, start_pilot};
use e2e::process::{Folder, Process};
use e2e::programs::{envoy, program};

/// One gateway, one route to `a` whose status tells which version of the object is in force.
fn objects(port: u16, status: u16, origin: u16) -> String {
    format!(
        r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gateway, namespace: istio-system}}
spec:
  selector: {{plane: PLANE}}
  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ['*']}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: a, namespace: default}}
spec:
  hosts: [a.example.com]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {origin}}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: app, namespace: default}}
spec:
  hosts: ['*']
  gateways: [istio-system/gateway]
  http:
  - match: [{{uri: {{exact: /version}}}}]
    directResponse: {{status: {status}}}
  - route: [{{destination: {{host: a.example.com}}}}]
"#
    )
}

/// A pilot with one data plane.
struct Stage {
    folder: Folder,
    pilot: Process,
    proxy: Process,
    gateway: std::net::SocketAddr,
    xds: std::net::SocketAddr,
    debug: std::net::SocketAddr,
    origin: u16,
}

impl Stage {
    fn start(plane: Plane, delta: bool) -> Self {
        let folder = Folder::new("session");
        let [gateway, xds, debug, admin] = free_ports();
        let origin = origin::start("a").address.port();
        let config = folder.path().join("config");
        std::fs::create_dir_all(&config).unwrap();
        write(&folder, plane, &objects(gateway.port(), 201, origin));
        let pilot = start_pilot(folder.path(), &config, xds, debug);
        let file = folder.path().join("bootstrap.yaml");
        let mut text = bootstrap(plane, xds, admin);
        if !delta {
            text = text.replace("DELTA_GRPC", "GRPC");
        }
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(if plane == Plane::Envoy { envoy() } else { program("proxy") });
        command.arg("-c").arg(&file).args(["--concurrency", "1"]);
        if plane == Plane::Envoy {
            command.arg("--use-dynamic-base-id");
        }
        let proxy = Process::start("proxy", folder.path(), &mut command);
        let mut stage = Stage { folder, pilot, proxy, gateway, xds, debug, origin };
        stage.answers("/version", 201);
        stage.answers("/", 200);
        stage
    }

    fn answers(&mut self, path: &str, status: u16) {
        let to = self.gateway;
        self.proxy.until(&format!("{path} is answered {status}"), || match Ask::get(path).send(to) {
            Ok(reply) if reply.status == status => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    fn counter(&self, name: &str) -> f64 {
        let reply = Ask::get("/metrics").send(self.debug).expect("pilot's metrics");
        let lines = reply.body.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

fn write(folder: &Folder, plane: Plane, text: &str) {
    let name = if plane == Plane::Envoy { "envoy" } else { "ours" };
    std::fs::write(folder.path().join("config/objects.yaml"), text.replace("PLANE", name)).unwrap();
}

fn restart(plane: Plane) {
    let mut stage = Stage::start(plane, true);
    assert!(stage.counter("pilot_xds_resources_sent") > 0.0);
    stage.pilot.kill();
    stage.answers("/", 200);
    let config = stage.folder.path().join("config");
    stage.pilot = start_pilot(stage.folder.path(), &config, stage.xds, stage.debug);
    e2e::until::eventually("the proxy is back", || match stage.counter("pilot_xds{") {
        n if n >= 1.0 => Ok(()),
        n => Err(format!("{n} connected")),
    });
    stage.answers("/", 200);
    assert_eq!(stage.counter("pilot_xds_resources_sent"), 0.0, "it holds the current versions");
    write(&stage.folder, plane, &objects(stage.gateway.port(), 202, stage.origin));
    stage.answers("/version", 202);
    assert!(stage.counter("pilot_xds_resources_sent") >= 1.0, "and hears of a change");
}

#[test]
fn our_proxy_gets_nothing_from_a_restarted_pilot() {
    restart(Plane::Ours);
}

#[test]
fn a_stock_envoy_gets_nothing_from_a_restarted_pilot() {
    restart(Plane::Envoy);
}

#[test]
fn a_state_of_the_world_client_is_served_and_updated() {
    let mut stage = Stage::start(Plane::Envoy, false);
    write(&stage.folder, Plane::Envoy, &objects(stage.gateway.port(), 202, stage.origin));
    stage.answers("/version", 202);
    assert_eq!(stage.counter("pilot_total_xds_rejects"), 0.0);
}

#[test]
fn a_broken_object_leaves_the_last_good_one() {
    let mut stage = Stage::start(Plane::Ours, true);
    let text = objects(stage.gateway.port(), 202, stage.origin);
    let text = text.replace("directResponse: {status: 202}", "directResponse: {status: many}");
    let good = "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b, namespace: default}\n\
                spec: {hosts: [b.example.com], gateways: [istio-system/gateway], http: [{directResponse: {status: 203}}]}\n";
    write(&stage.folder, Plane::Ours, &format!("{text}{good}"));
    let to = stage.gateway;
    stage.proxy.until("the good one is in force", || match Ask::get("/").host("b.example.com").send(to) {
        Ok(reply) if reply.status == 203 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    stage.answers("/version", 201);
    let (out, err) = stage.pilot.output();
    let told = format!("{out}{err}");
    assert!(told.contains("objects.yaml") && told.contains("many"), "pilot names the broken field: {told}");
}
