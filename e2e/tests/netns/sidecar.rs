//! A whole pod: an application, the proxy beside it as a pod runs it (its own user, no capability), rules, a control
//! plane outside. Nothing here tells a connection where to go; only what arrives says which way it took.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use citadel::token::{AUDIENCE, JWKS_FILE, Signer, Wish};
use e2e::client::Reply;
use e2e::netns::{FAMILIES, Hosts, Ip, PROXY, Place, at};
use e2e::process::{Folder, Process};
use e2e::programs::program;

pub(crate) const APP: (u32, u32) = (1000, 1000);
const ROOT: (u32, u32) = (0, 0);

/// How the pod's traffic comes to its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Redirect,
    Tproxy,
}

/// The pod of `web` with its proxy, and a world with pilot and the service `api`.
pub(crate) struct Pod {
    pub(crate) hosts: Hosts,
    pub(crate) proxy: Process,
    /// Requests that the application got.
    pub(crate) arrived: Arc<AtomicUsize>,
    /// What the others said is in here.
    _pilot: Process,
    folder: Folder,
}

/// Addresses of services that exist in nobody's routes.
pub(crate) fn vip(family: Ip, service: &str) -> SocketAddr {
    let last = if service == "web" { 21 } else { 20 };
    let text = if family == Ip::V4 { format!("10.96.1.{last}") } else { format!("fd96:1::{last}") };
    SocketAddr::new(text.parse().unwrap(), 80)
}

fn objects() -> String {
    let workload = |name: &str, place: Place, port: u16| {
        let [four, six] = FAMILIES.map(|family| at(family, place));
        let [vip4, vip6] = FAMILIES.map(|family| vip(family, name).ip());
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default, labels: {{app: {name}}}}}\n\
             spec: {{serviceAccountName: {name}, containers: [{{name: a, image: a}}]}}\n\
             status: {{phase: Running, podIP: {four}, podIPs: [{{ip: {four}}}, {{ip: '{six}'}}], \
             conditions: [{{type: Ready, status: 'True'}}]}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n\
             spec: {{selector: {{app: {name}}}, clusterIP: {vip4}, clusterIPs: [{vip4}, '{vip6}'], \
             ipFamilies: [IPv4, IPv6], ports: [{{name: http, port: 80, targetPort: {port}}}]}}\n---\n"
        )
    };
    let entry = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n";
    [workload("web", Place::Pod, 8080), workload("api", Place::World, 8090), entry.to_owned()].concat()
}

impl Pod {
    /// Starts everything; `more` are further objects, `env` further variables of the proxy.
    #[track_caller]
    pub(crate) fn start(mode: Mode, more: &str, env: &[(&str, &str)]) -> Self {
        let mut pod = Pod::begin(mode, more, env);
        pod.ready();
        pod
    }

    /// The same without waiting for the proxy to be ready.
    #[track_caller]
    pub(crate) fn begin(mode: Mode, more: &str, env: &[(&str, &str)]) -> Self {
        let hosts = Hosts::new();
        let folder = Folder::new("pod");
        let arrived = hosts.pod.serve_http("app", 8080, APP);
        hosts.world.serve_http("api", 8090, APP);
        for family in FAMILIES {
            hosts.world.serve_udp("resolver", SocketAddr::new(at(family, Place::Resolver), 53), APP);
        }
        let config = folder.path().join("config");
        std::fs::create_dir_all(&config).unwrap();
        std::fs::write(config.join("objects.yaml"), format!("{}---\n{more}", objects())).unwrap();
        let pilot = pilot(&hosts, folder.path(), &config);
        files(folder.path());
        let mut rules =
            "istio-iptables -p 15001 -z 15006 -u 1337 -i * -x  -b * -d 15090,15021,15020 --redirect-dns"
                .to_owned();
        if mode == Mode::Tproxy {
            rules.push_str(" -m TPROXY");
        }
        let words: Vec<&str> = rules.split(' ').collect();
        let output = hosts.pod.proxy(&folder.path().join("root"), &words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let proxy = hosts.pod.start("proxy", folder.path(), sidecar(mode, folder.path(), env));
        Pod { hosts, proxy, arrived, _pilot: pilot, folder }
    }

    /// Where the pod's files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the pod.
    pub(crate) fn file(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join("root").join(path)
    }

    /// A page of the pod's port, asked from outside.
    #[track_caller]
    pub(crate) fn page(&self, port: u16, path: &str) -> Reply {
        let to = SocketAddr::new(at(Ip::V4, Place::Pod), port);
        self.hosts.world.get_as(ROOT, to, path, &to.to_string()).unwrap()
    }

    #[track_caller]
    pub(crate) fn ready(&mut self) {
        let to = SocketAddr::new(at(Ip::V4, Place::Pod), 15021);
        let world = &self.hosts.world;
        self.proxy.until("the proxy is ready", || match world.get_as(ROOT, to, "/healthz/ready", "pod") {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// An application of the pod asks a service; what it says.
    #[track_caller]
    pub(crate) fn asks(&self, to: SocketAddr, host: &str) -> String {
        self.hosts.pod.get_as(APP, to, "/", host).unwrap().body
    }

    /// Somebody asks the pod.
    #[track_caller]
    pub(crate) fn is_asked(&self, family: Ip, port: u16) -> String {
        let to = SocketAddr::new(at(family, Place::Pod), port);
        self.hosts.world.get_as(APP, to, "/", "anything").unwrap().body
    }
}

fn pilot(hosts: &Hosts, folder: &Path, config: &Path) -> Process {
    Signer::load_or_create(folder).unwrap();
    let mut command = Command::new(program("pilot"));
    command.arg("--config-dir").arg(config).arg("--ca-dir").arg(folder.join("ca"));
    command.arg("--jwks").arg(folder.join(JWKS_FILE));
    let mut pilot = hosts.world.start("pilot", folder, command);
    let ready = SocketAddr::new(at(Ip::V4, Place::World), 8080);
    pilot.until("pilot is ready", || match hosts.world.get_as(ROOT, ready, "/ready", "pilot") {
        Ok(reply) if reply.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    pilot
}

/// The files that Kubernetes mounts into the proxy's container.
fn files(folder: &Path) {
    let root = folder.join("root");
    let write = |path: &str, text: &[u8]| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let wish = Wish {
        namespace: "default",
        service_account: "web",
        pod: Some("web"),
        audiences: &[AUDIENCE],
        ttl: Duration::from_secs(3600),
    };
    let token = Signer::load_or_create(folder).unwrap().mint(&wish, SystemTime::now()).unwrap();
    write("var/run/secrets/tokens/istio-token", token.as_bytes());
    write("var/run/secrets/istio/root-cert.pem", &std::fs::read(folder.join("ca/root-cert.pem")).unwrap());
    write("etc/istio/pod/labels", b"app=\"web\"\n");
    let lines = FAMILIES.map(|family| format!("nameserver {}\n", at(family, Place::Resolver)));
    let search = "search default.svc.cluster.local svc.cluster.local cluster.local\n";
    write("etc/resolv.conf", (search.to_owned() + &lines.concat()).as_bytes());
}

/// The proxy's command as its container runs it: user 1337 without any capability; in mode TPROXY user 0 of group 1337
/// with NET_ADMIN alone.
fn sidecar(mode: Mode, folder: &Path, env: &[(&str, &str)]) -> Command {
    let mut command = Command::new("setpriv");
    let group = PROXY.to_string();
    let (user, may) = if mode == Mode::Tproxy { ("0", "-all,+net_admin") } else { (group.as_str(), "-all") };
    command.args(["--reuid", user, "--regid", &group, "--clear-groups", "--no-new-privs"]);
    command.args(["--inh-caps=-all", &format!("--bounding-set={may}")]);
    command.arg(program("proxy")).args(["proxy", "sidecar", "--domain", "default.svc.cluster.local"]);
    // The injector tells the first address only; the proxy finds the other one.
    let four = at(Ip::V4, Place::Pod).to_string();
    let world = at(Ip::V4, Place::World);
    command.env_clear();
    command.envs([
        ("POD_NAME", "web"),
        ("POD_NAMESPACE", "default"),
        ("SERVICE_ACCOUNT", "web"),
        ("INSTANCE_IP", &four),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
        ("ISTIO_META_INTERCEPTION_MODE", if mode == Mode::Tproxy { "TPROXY" } else { "REDIRECT" }),
        ("ISTIO_META_DNS_CAPTURE", "true"),
        ("ISTIOD_SAN", "istiod.istio-system.svc"),
        ("CA_ADDR", &format!("{world}:15012")),
        ("PROXY_CONFIG", &format!("{{\"discoveryAddress\":\"{world}:15012\",\"concurrency\":2}}")),
    ]);
    command.env("POD_FILES", folder.join("root")).envs(env.iter().copied());
    command
}

/// A DNS question by hand.
fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes
}

/// Asks the pod's resolver, as an application, over UDP or TCP; the whole answer.
fn lookup(pod: &Pod, family: Ip, tcp: bool, name: &str, kind: u16) -> Vec<u8> {
    use std::io::{Read, Write};
    let to = SocketAddr::new(at(family, Place::Resolver), 53);
    let (any, asked) = (if family == Ip::V4 { "0.0.0.0:0" } else { "[::]:0" }, question(name, kind));
    pod.hosts.pod.as_user(APP, move || {
        let limit = Some(Duration::from_secs(10));
        if tcp {
            let mut stream = std::net::TcpStream::connect(to).unwrap();
            stream.set_read_timeout(limit).unwrap();
            stream.write_all(&u16::try_from(asked.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&asked).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer).unwrap();
            return answer;
        }
        let socket = std::net::UdpSocket::bind(any).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(limit).unwrap();
        socket.send(&asked).unwrap();
        let mut answer = vec![0; 1500];
        let length = socket.recv(&mut answer).unwrap();
        answer.truncate(length);
        answer
    })
}

const A: u16 = 1;
const AAAA: u16 = 28;

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn a_pod_whose_traffic_is_redirected() {
    let pod = Pod::start(Mode::Redirect, "", &[]);
    let first = at(Ip::V4, Place::Pod);
    for family in FAMILIES {
        let (own, delivery) = (at(family, Place::Pod), at(family, Place::Delivery));
        // Declared and undeclared ports; the application sees the address of delivery.
        assert_eq!(pod.is_asked(family, 8080), format!("app {delivery}"));
        // To another service by an address that only the proxy knows; to itself by such an address. Endpoints have their
        // pod's first address, whatever the family of the service's.
        assert_eq!(pod.asks(vip(family, "api"), "api"), format!("api {first}"));
        assert_eq!(pod.asks(vip(family, "web"), "web.default"), "app 127.0.0.6");
        // To itself directly, and past the mesh.
        assert_eq!(pod.asks(SocketAddr::new(own, 8080), "web"), format!("app {own}"));
        let passed = pod.asks(SocketAddr::new(at(family, Place::Internet), 8090), "elsewhere");
        assert_eq!(passed, format!("api {own}"));
        // Names of the mesh, over both protocols and for both kinds of address.
        for tcp in [false, true] {
            for (kind, of) in [(A, Ip::V4), (AAAA, Ip::V6)] {
                let answer = lookup(&pod, family, tcp, "api.default.svc.cluster.local", kind);
                let wanted = match vip(of, "api").ip() {
                    std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
                    std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
                };
                assert!(answer.ends_with(&wanted), "{family:?} {tcp} {kind}: {answer:?}");
            }
        }
    }
    let (out, err) = pod.proxy.output();
    let said = format!("{out}{err}");
    assert_eq!(said.matches("sockets are not marked").count(), 1, "{said}");
}

#[test]
#[ignore = "needs root, to act as several users in namespaces"]
fn a_pod_with_transparent_sockets() {
    let pod = Pod::start(Mode::Tproxy, "", &[]);
    let first = at(Ip::V4, Place::Pod);
    for family in FAMILIES {
        let (own, world) = (at(family, Place::Pod), at(family, Place::World));
        // The application sees who asks, again and again, on connections that are kept, too.
        for _ in 0..3 {
            assert_eq!(pod.is_asked(family, 8080), format!("app {world}"));
        }
        assert_eq!(pod.asks(vip(family, "api"), "api"), format!("api {first}"));
        assert_eq!(pod.asks(vip(family, "web"), "web.default"), format!("app {first}"));
        assert_eq!(pod.asks(SocketAddr::new(own, 8080), "web"), format!("app {own}"));
        let passed = pod.asks(SocketAddr::new(at(family, Place::Internet), 8090), "elsewhere");
        assert_eq!(passed, format!("api {own}"));
    }
    // Two clients do not share a connection to the application.
    let other = at(Ip::V4, Place::Internet);
    let seen = pod.hosts.world.as_user(APP, move || {
        let to = SocketAddr::new(at(Ip::V4, Place::Pod), 8080);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(other, 0).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        let mut stream = std::net::TcpStream::from(socket);
        e2e::client::Ask::get("/").over(&mut stream).unwrap().body
    });
    assert_eq!(seen, format!("app {other}"));
}
