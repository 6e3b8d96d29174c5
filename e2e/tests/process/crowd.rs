//! A pilot that reads a large cluster: what it holds in memory, and what one pod costs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use e2e::client::Ask;
use e2e::crowd::Crowd;
use e2e::laptop::free_ports;
use e2e::process::{Folder, Process, pilot};
use wire::delta::Client;
use wire::transport::Channel;
use wire::{Kind, Node};

/// Pods.
const MANY: usize = 100_000;
/// What pilot may hold with them, in MiB, without the pages of its own program: those are 20 MiB of the 200 that pilot may
/// have, but twice as many in a program with debugging information.
const BUDGET: u64 = 180;

struct Scene {
    _folder: Folder,
    pilot: Process,
    monitoring: SocketAddr,
    /// xDS without TLS.
    plain: SocketAddr,
}

impl Scene {
    /// Starts pilot and waits until it has read everything.
    fn start(crowd: &Crowd, arguments: &[&str]) -> Self {
        let folder = Folder::new("crowd");
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, crowd.kubeconfig()).unwrap();
        let ports = free_ports();
        let [plain, _, http, monitoring, _] = ports;
        let mut command = pilot(&[], &ports);
        command.arg("--kubeconfig").arg(&kubeconfig).arg("--ca-dir").arg(folder.path().join("ca"));
        command.args(["--ctrlz_port", "0"]).args(arguments);
        command.env("ENABLE_LEADER_ELECTION", "false");
        let mut pilot = Process::start("pilot", folder.path(), &mut command);
        // A list of this size takes longer than anything else that tests wait for.
        let until = Instant::now() + Duration::from_secs(1200);
        loop {
            pilot.alive().unwrap();
            if Ask::get("/ready").send(http).is_ok_and(|reply| reply.status == 200) {
                break;
            }
            assert!(Instant::now() < until, "pilot is not ready");
            std::thread::sleep(Duration::from_millis(200));
        }
        Scene { _folder: folder, pilot, monitoring, plain }
    }

    /// A line of its status, in MiB.
    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pilot.pid())).unwrap();
        let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        found.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Time of processors that it has used.
    fn worked(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pilot.pid())).unwrap();
        let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = words[11].parse::<u64>().unwrap() + words[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Waits until it does nothing any more.
    fn rest(&self) {
        loop {
            let before = self.worked();
            std::thread::sleep(Duration::from_millis(1500));
            if self.worked() - before < Duration::from_millis(100) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_connection_ends_when_it_has_had_its_time() {
    let crowd = Crowd::start(500);
    let scene = Scene::start(&crowd, &["--keepaliveMaxServerConnectionAge", "1s"]);
    let connection = tokio::net::TcpStream::connect(scene.plain).await.unwrap();
    let origin = "http://localhost/".parse().unwrap();
    let channel = Channel::connect(connection, &origin).await.unwrap();
    let mut stream = channel.delta(http::HeaderMap::new());
    let mut client = Client::new();
    client.subscribe_all(Kind::Cluster);
    client.connected();
    let node = Node::new("sidecar~10.0.0.1~a.team-0~team-0.svc.cluster.local".parse().unwrap());
    stream.flush(&mut client, &node.to_proto());
    let first = stream.next().await.unwrap();
    assert!(first.resources.iter().any(|resource| resource.name.contains("workload-0.team-0")));
    let end = stream.next().await.unwrap_err();
    assert_eq!((end.code(), end.message()), (tonic::Code::Unavailable, "the connection has had its time"));
}

#[test]
#[ignore = "minutes: cargo xtask test --cluster=all"]
fn a_hundred_thousand_pods_fit_into_200_mib() {
    let crowd = Crowd::start(std::env::var("MESH_CROWD").map_or(MANY, |text| text.parse().unwrap()));
    let began = Instant::now();
    let scene = Scene::start(&crowd, &[]);
    let took = began.elapsed();
    scene.rest();
    let (rss, high) = (scene.memory("RssAnon:"), scene.memory("VmHWM:"));
    println!(
        "ready after {took:.1?}, {:.1?} of processors; {rss} MiB held, at most {high} MiB with the program",
        scene.worked()
    );
    let before = scene.worked();
    let changes = 10;
    for version in 1..=changes {
        crowd.moves(4321, version);
        scene.rest();
    }
    let change = (scene.worked() - before) / u32::try_from(changes).unwrap();
    let rss = scene.memory("RssAnon:");
    println!("one pod changed: {change:.1?} of processors; {rss} MiB afterwards");
    assert!(Ask::get("/metrics").send(scene.monitoring).is_ok_and(|reply| reply.status == 200));
    assert!(rss <= BUDGET, "{rss} MiB");
}
