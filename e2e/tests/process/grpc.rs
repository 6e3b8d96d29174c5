//! A stock gRPC client resolves `xds:///` names through our pilot: no proxy at all between the two ends.

use std::process::Command;

use e2e::laptop::free_ports;
use e2e::planes::start_pilot;
use e2e::process::{Folder, Process};
use e2e::programs::{program, python_path};
use e2e::until::eventually;

const CALL: &str = r#"
import sys, grpc
channel = grpc.insecure_channel(sys.argv[1])
say = channel.unary_unary("/echo.Echo/Say", request_serializer=lambda b: b, response_deserializer=lambda b: b)
for _ in range(int(sys.argv[2])):
    print(say(b"\n\x05hello", timeout=10, wait_for_ready=True))
"#;

fn objects(v1: u16, v2: u16) -> String {
    format!(
        r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: echo, namespace: default}}
spec:
  hosts: [echo.default.svc.cluster.local]
  location: MESH_INTERNAL
  ports: [{{number: 7070, name: grpc, protocol: GRPC}}]
  resolution: STATIC
  endpoints:
  - {{address: 127.0.0.1, ports: {{grpc: {v1}}}, labels: {{version: v1}}}}
  - {{address: 127.0.0.1, ports: {{grpc: {v2}}}, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: echo, namespace: default}}
spec:
  host: echo.default.svc.cluster.local
  trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN}}, tls: {{mode: DISABLE}}}}
  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]
"#
    )
}

const TO_V2: &str = r#"
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: default}
spec:
  hosts: [echo.default.svc.cluster.local]
  http: [{route: [{destination: {host: echo.default.svc.cluster.local, subset: v2}}]}]
"#;

#[test]
fn a_stock_grpc_client_resolves_through_our_pilot() {
    let folder = Folder::new("grpc");
    let [xds, debug, v1, v2] = free_ports();
    let config = folder.path().join("config");
    std::fs::create_dir_all(&config).unwrap();
    let text = objects(v1.port(), v2.port());
    std::fs::write(config.join("echo.yaml"), &text).unwrap();
    let _pilot = start_pilot(folder.path(), &config, xds, debug);
    let _echoes: Vec<Process> = [("v1", v1), ("v2", v2)]
        .map(|(version, at)| {
            let mut command = Command::new(program("mesh-samples"));
            command.args(["grpc-echo", "--port", &at.port().to_string(), "--version", version]);
            Process::start(&format!("echo-{version}"), folder.path(), &mut command)
        })
        .into();
    let bootstrap = folder.path().join("bootstrap.json");
    let json = serde_json::json!({
        "xds_servers": [{
            "server_uri": xds.to_string(),
            "channel_creds": [{"type": "insecure"}],
            "server_features": ["xds_v3"],
        }],
        "node": {
            "id": "sidecar~127.0.0.1~client.default~default.svc.cluster.local",
            "metadata": {"GENERATOR": "grpc", "NAMESPACE": "default", "CLUSTER_ID": "Kubernetes", "INSTANCE_IPS": "127.0.0.1"},
            "locality": {},
        },
    });
    std::fs::write(&bootstrap, json.to_string()).unwrap();
    let call = |times: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", CALL, "xds:///echo.default.svc.cluster.local:7070", times]);
        python.env("PYTHONPATH", python_path()).env("GRPC_XDS_BOOTSTRAP", &bootstrap);
        let output = python.output().expect("python3");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}\n{err}");
        out.into_owned()
    };
    let both = call("10");
    assert!(both.contains("v1") && both.contains("v2"), "both versions answer: {both}");

    std::fs::write(config.join("echo.yaml"), text + TO_V2).unwrap();
    eventually("the route to v2 is in force", || {
        let out = call("5");
        if out.contains("v1") { Err(out) } else { Ok(()) }
    });
}
