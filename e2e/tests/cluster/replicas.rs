//! Several control planes: replicas of one, of which the leader is killed, and revisions side by side.

use crate::Mesh;
use e2e::driven::Driven as _;
use e2e::load::Load;
use e2e::until::eventually;

const LEASE: &str = "istio-namespace-controller-election";

/// Puts the control plane back to one replica, whatever became of the test.
struct Replicas<'a>(&'a Mesh);

impl<'a> Replicas<'a> {
    fn two(mesh: &'a Mesh) -> Self {
        mesh.ok(&["scale", "-n", "istio-system", "deployment", "istiod", "--replicas=2"]);
        mesh.ok(&["rollout", "status", "-n", "istio-system", "deployment/istiod", "--timeout=60s"]);
        Replicas(mesh)
    }
}

impl Drop for Replicas<'_> {
    fn drop(&mut self) {
        self.0.meshctl(&["scale", "-n", "istio-system", "deployment", "istiod", "--replicas=1"]);
    }
}

#[test]
fn another_replica_takes_over_from_the_leader() {
    let mesh = Mesh::up(&["bookinfo"]);
    let _two = Replicas::two(&mesh);
    let path = "jsonpath={.spec.holderIdentity}";
    let holder = || mesh.ok(&["get", "lease", "-n", "istio-system", LEASE, "-o", path]);
    let first = eventually("there is a leader", || match holder() {
        name if name.starts_with("istiod-") => Ok(name),
        other => Err(other),
    });
    let load = Load::start(mesh.http, "localhost", "/productpage");
    load.more(10);
    mesh.ok(&["delete", "pod", "-n", "istio-system", &first, "--grace-period=0", "--force"]);
    eventually("another one leads", || match holder() {
        name if name.starts_with("istiod-") && name != first => Ok(()),
        other => Err(other),
    });
    // What only a leader does.
    mesh.apply_text("namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: late}\n");
    eventually("a new namespace gets the root certificate", || {
        let told = mesh.meshctl(&["get", "configmap", "-n", "late", "istio-ca-root-cert"]);
        if told.success { Ok(()) } else { Err(told) }
    });
    load.more(10);
    load.finish();
}

/// A second control plane, gone at the end whatever became of the test.
struct Canary<'a>(&'a Mesh);

impl Drop for Canary<'_> {
    fn drop(&mut self) {
        self.0.meshctl(&["uninstall", "--revision", "canary", "-y"]);
    }
}

#[test]
fn a_namespace_moves_between_revisions() {
    let mesh = Mesh::up(&["curl"]);
    let _canary = Canary(&mesh);
    mesh.ok(&["install", "--set", "profile=minimal", "--revision", "canary", "-y"]);
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: moving, labels: {istio.io/rev: canary}}\n---\n\
        apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: curl, namespace: moving}\nspec:\n  \
        selector: {matchLabels: {app: curl}}\n  template:\n    metadata: {labels: {app: curl}}\n    spec:\n      \
        containers: [{name: curl, image: \"curlimages/curl:8.16.0\", command: [/bin/sleep, infinity]}]\n";
    mesh.apply_text("moving.yaml", namespace);
    let rollout = || mesh.ok(&["rollout", "status", "-n", "moving", "deployment/curl", "--timeout=60s"]);
    let control_plane = || {
        let status = mesh.ok(&["proxy-status"]);
        let line = status.lines().find(|line| line.contains(".moving ")).map(str::to_owned);
        line.ok_or(status)
    };
    rollout();
    eventually("its proxy is of the new revision", || match control_plane()? {
        line if line.contains("istiod-canary-") => Ok(()),
        line => Err(line),
    });
    // Back: the label of the other one, and new pods.
    mesh.ok(&["label", "namespace", "moving", "istio.io/rev-", "istio-injection=enabled"]);
    mesh.ok(&["rollout", "restart", "-n", "moving", "deployment/curl"]);
    rollout();
    eventually("its proxy is of the old revision", || match control_plane()? {
        line if line.contains("istiod-") && !line.contains("istiod-canary-") => Ok(()),
        line => Err(line),
    });
}

#[test]
fn an_upgrade_fails_no_request() {
    let mesh = Mesh::up(&["bookinfo"]);
    let load = Load::start(mesh.http, "localhost", "/productpage");
    load.more(20);
    let both = "app in (istiod, istio-ingressgateway)";
    let pods = || mesh.ok(&["get", "pods", "-n", "istio-system", "-l", both, "-o", "name"]);
    let before = pods();
    // New pods for the control plane and for the gateways, as another version brings them.
    let upgrade = |value: &str| {
        let pilot = format!("components.pilot.k8s.podAnnotations.upgraded={value}");
        let gateway = format!("components.ingressGateways[0].k8s.podAnnotations.upgraded={value}");
        let name = "components.ingressGateways[0].name=istio-ingressgateway";
        let args =
            ["upgrade", "--set", "profile=demo", "-y", "--set", &pilot, "--set", name, "--set", &gateway];
        mesh.ok(&args);
        mesh.ok(&["rollout", "status", "-n", "istio-system", "deployment/istiod", "--timeout=60s"]);
        let gateway = "deployment/istio-ingressgateway";
        mesh.ok(&["rollout", "status", "-n", "istio-system", gateway, "--timeout=60s"]);
    };
    upgrade(&format!("at-{}", std::process::id()));
    eventually("every old pod of both is gone", || {
        let now = pods();
        let left: Vec<&str> = now.lines().filter(|name| before.contains(*name)).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join(" ")) }
    });
    load.more(20);
    load.finish();
}
