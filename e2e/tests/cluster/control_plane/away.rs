//! The API server is away for a while: proxies are served on and told nothing, and what changed meanwhile comes later.

use std::process::Command;

use e2e::caller::{Caller, Follower};
use e2e::cluster::{Namespace, kubectl};
use e2e::control::{Control, Replica};
use e2e::door::Door;
use e2e::until::eventually;

/// Lock of who writes the roots.
const LOCK: &str = "istio-namespace-controller-election";

/// A control plane that sees one namespace only, with a proxy that follows it.
struct Scene {
    runtime: tokio::runtime::Runtime,
    control: Control,
    door: Door,
    replica: Replica,
    proxy: Follower,
}

impl Scene {
    /// `name` is the test's own: what another one leaves behind is not seen.
    fn new(name: &str) -> Self {
        let label = format!("{name}{}", std::process::id());
        let mut control =
            Control::new(&[&format!("meshConfig.discoverySelectors[0].matchLabels.seen={label}")]);
        control.namespace.label(&format!("seen={label}"));
        service(&control.namespace, "first");
        let server = "jsonpath={.clusters[0].cluster.server}";
        let server = kubectl(&["config", "view", "--minify", "-o", server]).stdout;
        let door = Door::to(server.trim().trim_start_matches("https://"));
        control.through = Some(door.address);
        let replica = control.ready("pilot", &[("XDS_AUTH", "false")]);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (caller, node) = who(&control);
        let proxy = runtime.block_on(caller.follow(replica.secure, &node)).unwrap();
        let mut scene = Scene { runtime, control, door, replica, proxy };
        let told = scene.told();
        assert!(told.iter().any(|name| name.contains("first")), "{told:?}");
        scene
    }

    /// Names of clusters that the next response has.
    fn told(&mut self) -> Vec<String> {
        let told = async { tokio::time::timeout(e2e::until::LIMIT, self.proxy.next()).await };
        let (added, removed) = self.runtime.block_on(told).expect("a response").unwrap();
        added.into_iter().chain(removed).collect()
    }

    /// Waits until pilot has said this so many times.
    fn said(&self, text: &str, times: usize) {
        eventually(text, || {
            let log = self.replica.log();
            if log.matches(text).count() >= times { Ok(()) } else { Err(log) }
        });
    }
}

fn who(control: &Control) -> (Caller<'static>, String) {
    let namespace = control.namespace.name();
    let caller = Caller {
        roots: control.key("root-cert.pem").unwrap(),
        host: format!("istiod.{namespace}.svc"),
        ..Caller::default()
    };
    (caller, format!("sidecar~10.0.0.1~caller.{namespace}~{namespace}.svc.cluster.local"))
}

fn service(namespace: &Namespace, name: &str) {
    namespace.run(&["create", "service", "clusterip", name, "--tcp=80:80"]);
}

#[test]
fn a_pilot_that_is_cut_off_serves_on_and_catches_up() {
    let mut scene = Scene::new("cut");
    scene.door.close();
    scene.said("cannot be watched", 1);
    let (caller, node) = who(&scene.control);
    let response = scene.runtime.block_on(caller.clusters(scene.replica.secure, &node)).unwrap();
    assert!(response.resources.iter().any(|resource| resource.name.contains("first")));
    service(&scene.control.namespace, "second");
    scene.door.open();
    let told = scene.told();
    assert!(!told.is_empty() && told.iter().all(|name| name.contains("second")), "{told:?}");
    let late = Namespace::new();
    late.label(&format!("seen=cut{}", std::process::id()));
    eventually("it leads again and writes", || {
        late.try_run(&["get", "configmap", &scene.control.roots, "-o", "name"])
    });
}

#[test]
fn an_api_server_that_restarts_is_nothing_to_proxies() {
    // The script is that of the cluster of processes; with another `cargo xtask test` leaves this test out.
    let mut scene = Scene::new("restart");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/restart.sh");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    scene.said("cannot be watched", 1);
    eventually("the lock is held on", || {
        let path = "jsonpath={.spec.holderIdentity}";
        match scene.control.namespace.try_run(&["get", "lease", LOCK, "-o", path])? {
            holder if holder == "pilot" => Ok(()),
            holder => Err(holder),
        }
    });
    service(&scene.control.namespace, "second");
    let told = scene.told();
    assert!(!told.is_empty() && told.iter().all(|name| name.contains("second")), "nothing before: {told:?}");
}
