//! A stock Envoy takes everything that pilot says of the samples: all of them at once, then each file that holds
//! another version of the same objects, as a gateway and as the sidecar of a workload.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::client::Ask;
use e2e::laptop::free_ports;
use e2e::planes::start_pilot;
use e2e::process::{Folder, Process};
use e2e::programs::{envoy, sample};
use e2e::until::eventually;

/// Not objects of a mesh.
const OTHER: [&str; 2] = ["images.yaml", "kustomization.yaml"];

struct Stage {
    envoy: Process,
    admin: SocketAddr,
    debug: SocketAddr,
    _pilot: Process,
    folder: Folder,
}

impl Stage {
    fn start(node: &str) -> Self {
        let folder = Folder::new("samples");
        let [xds, debug, admin, http, https, tcp] = free_ports();
        let config = folder.path().join("config");
        std::fs::create_dir_all(&config).unwrap();
        let ports = [("PORT_HTTPS", https), ("PORT_HTTP", http), ("PORT_TCP", tcp)];
        let common = ports.iter().fold(COMMON.to_string(), |text, (word, address)| {
            text.replace(word, &address.port().to_string())
        });
        std::fs::write(config.join("common.yaml"), common).unwrap();
        for file in sample_files() {
            let name = file.display().to_string().replace('/', "_");
            std::fs::copy(&file, config.join(name)).unwrap();
        }
        let pilot = start_pilot(folder.path(), &config, xds, debug);
        let socket = folder.path().join("sds");
        serve_identity(&socket);
        let text = BOOTSTRAP
            .replace("NODE", node)
            .replace("XDS_PORT", &xds.port().to_string())
            .replace("ADMIN_PORT", &admin.port().to_string())
            .replace("SDS_SOCKET", &socket.display().to_string());
        let file = folder.path().join("envoy.yaml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(envoy());
        command.arg("-c").arg(&file).args(["--concurrency", "1", "-l", "warning", "--use-dynamic-base-id"]);
        let envoy = Process::start("envoy", folder.path(), &mut command);
        Stage { envoy, admin, debug, _pilot: pilot, folder }
    }

    fn page(&self, to: SocketAddr, path: &str) -> Result<String, String> {
        Ask::get(path).send(to).map(|reply| reply.body).map_err(|error| error.to_string())
    }

    /// Waits until Envoy has routes that say `word`.
    fn until_routes_say(&mut self, word: &str) {
        let (admin, debug, what) = (self.admin, self.debug, format!("Envoy has a route for {word}"));
        let path = "/config_dump?resource=dynamic_route_configs";
        self.envoy.until(&what, || {
            let dump = Ask::get(path).send(admin).map_err(|error| error.to_string())?.body;
            if dump.contains(word) {
                return Ok(());
            }
            let [syncz, warming] = [
                (debug, "/debug/syncz"),
                (admin, "/config_dump?resource=dynamic_warming_clusters&mask=cluster.name"),
            ]
            .map(|(to, path)| Ask::get(path).send(to).map_or_else(|e| e.to_string(), |reply| reply.body));
            Err(format!("pilot says {syncz}\nwarming: {warming}"))
        });
    }

    fn refusals(&self) -> Vec<String> {
        let stats = self.page(self.admin, "/stats?filter=update_rejected").unwrap();
        let mut wrong: Vec<String> =
            stats.lines().filter(|line| !line.ends_with(": 0")).map(str::to_string).collect();
        let metrics = self.page(self.debug, "/metrics").unwrap();
        let rejects = metrics.lines().filter(|line| line.starts_with("pilot_total_xds_rejects"));
        wrong.extend(rejects.filter(|line| !line.ends_with(" 0")).map(str::to_string));
        wrong
    }
}

/// Every sample in one folder; then each file once more, first by name, so that its version of an object wins.
fn envoy_takes_the_samples(node: &str) {
    let mut stage = Stage::start(node);
    stage.until_routes_say("marker-common");
    let mut wrong = stage.refusals();
    let config = stage.folder.path().join("config");
    let files = sample_files();
    assert!(files.len() > 30, "only {} samples", files.len());
    for (number, file) in files.iter().enumerate() {
        let text = std::fs::read_to_string(file).unwrap();
        let marker = MARKER.replace("NAME", &format!("marker-{number}-end"));
        std::fs::write(config.join("part"), format!("{marker}{text}")).unwrap();
        std::fs::rename(config.join("part"), config.join("0.yaml")).unwrap();
        stage.until_routes_say(&format!("marker-{number}-end"));
        let now = stage.refusals();
        if now != wrong {
            panic!("{}: refused: {now:#?}\n{}", file.display(), stage.envoy.output().1);
        }
    }
    let stats = stage.page(stage.admin, "/stats?filter=update_success").unwrap();
    for kind in ["cluster_manager.cds", "listener_manager.lds", "rds", "update_success"] {
        let any = stats.lines().any(|line| line.contains(kind) && !line.ends_with(": 0"));
        assert!(any, "Envoy took no {kind}\n{stats}");
    }
    wrong.extend(stage.refusals());
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", stage.envoy.output().1);
}

#[test]
fn a_stock_gateway_takes_every_sample() {
    envoy_takes_the_samples(
        "{id: router~127.0.0.1~gateway-x.istio-system~istio-system.svc.cluster.local, cluster: gateway, metadata: {\
         NAMESPACE: istio-system, NAME: gateway-x, CLUSTER_ID: Kubernetes, LABELS: {istio: ingressgateway}, \
         INSTANCE_IPS: 127.0.0.1}}",
    );
}

#[test]
fn a_stock_sidecar_takes_every_sample() {
    envoy_takes_the_samples(
        "{id: sidecar~10.244.0.9~productpage-v1-x.default~default.svc.cluster.local, cluster: productpage.default, \
         metadata: {NAMESPACE: default, NAME: productpage-v1-x, CLUSTER_ID: Kubernetes, \
         LABELS: {app: productpage, version: v1}, SERVICE_ACCOUNT: bookinfo-productpage, INSTANCE_IPS: 10.244.0.9, \
         INTERCEPTION_MODE: REDIRECT}}",
    );
}

fn sample_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(Path::new(&sample("")), &mut files);
    files.sort();
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|end| end == "yaml")
            && !OTHER.iter().any(|other| name == *other)
        {
            files.push(path);
        }
    }
}

/// The certificate of the workload on a socket, as an agent serves it.
fn serve_identity(socket: &Path) {
    use proxy::tls::{Secret, SecretSource, Secrets};
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let secrets = Secrets::new();
    let chain = Secret::key_pair(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    secrets.put(SecretSource::Identity("default".into()), chain);
    secrets.put(SecretSource::Identity("ROOTCA".into()), Secret::trust(pem.as_bytes()).unwrap());
    let path = socket.to_path_buf();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let health = base::Live::new(proxy::identity::Health::default());
        let tasks = tokio::task::LocalSet::new();
        // It ends with the test.
        tasks.block_on(&runtime, proxy::identity::serve_sds(&path, secrets, health)).ok();
    });
    eventually("SDS is served", || if socket.exists() { Ok(()) } else { Err("no socket") });
}

const BOOTSTRAP: &str = r#"
node: NODE
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ADMIN_PORT}}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options: &http2
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: XDS_PORT}}}}]}]
  - name: sds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options: *http2
    load_assignment:
      cluster_name: sds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: SDS_SOCKET}}}}]}]
"#;

/// What an installation has, on ports that are free here, and a workload.
const COMMON: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system, labels: {istio: ingressgateway}}
spec:
  selector: {istio: ingressgateway}
  ports:
  - {name: http2, port: 80, targetPort: PORT_HTTP}
  - {name: alt, port: 8080, targetPort: PORT_HTTP}
  - {name: https, port: 443, targetPort: PORT_HTTPS}
  - {name: tcp, port: 31400, targetPort: PORT_TCP}
---
apiVersion: v1
kind: Pod
metadata: {name: productpage-v1-x, namespace: default, labels: {app: productpage, version: v1}}
spec: {serviceAccountName: bookinfo-productpage, containers: [{name: productpage, image: productpage, ports: [{containerPort: 9080}]}]}
status: {podIP: 10.244.0.9, podIPs: [{ip: 10.244.0.9}], phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-x, namespace: default, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.10], conditions: {ready: true}}]
ports: [{name: http, port: 9080, protocol: TCP}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: marker, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [marker.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: marker-common, namespace: istio-system}
spec:
  hosts: [marker.example.com]
  gateways: [marker, mesh]
  http: [{name: marker-common, match: [{uri: {exact: /common}}], directResponse: {status: 200}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: marker, namespace: istio-system}
spec:
  hosts: [marker.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
"#;

/// A route that tells that a version is in force.
const MARKER: &str = r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: marker-common, namespace: istio-system}
spec:
  hosts: [marker.example.com]
  gateways: [marker, mesh]
  http: [{name: NAME, directResponse: {status: 200}}]
---
"#;
