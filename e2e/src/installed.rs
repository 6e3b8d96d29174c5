//! A mesh installed in a cluster, driven through kubectl and `meshctl`, with the methods of [`crate::laptop::Laptop`], so
//! that the same scenarios run on both.
//!
//! There is one mesh per cluster: tests on it run one after the other. `up` leaves in namespace `default` exactly what a
//! scenario asked for; workloads that stand there already are kept, since starting them is most of a test's time.
//! `cargo xtask test --cluster` runs these tests in the cluster's network and sets `MESH_KUBECONFIG`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::client::Ask;
use crate::cluster::{kubeconfig, kubectl};
use crate::driven::{Driven, Output};
use crate::programs::{program, sample};
use crate::until::eventually;

/// Only one scenario at a time has the mesh.
static ONE: Mutex<()> = Mutex::new(());

/// What a scenario may have left, apart from workloads.
const CONFIGURATION: &str = "virtualservices.networking.istio.io,destinationrules.networking.istio.io,\
    gateways.networking.istio.io,serviceentries.networking.istio.io,sidecars.networking.istio.io,\
    peerauthentications.security.istio.io,authorizationpolicies.security.istio.io,\
    requestauthentications.security.istio.io,telemetries.telemetry.istio.io";

/// Where a ConfigMap says which samples stand in the namespace `default`.
const STANDING: &str = "standing-samples";

/// A running mesh.
pub struct Installed {
    home: PathBuf,
    /// Files applied since `up`, which are deleted at the end.
    applied: Mutex<Vec<String>>,
    /// Mesh settings before this scenario changed them.
    settings: Option<String>,
    /// Where Service `istio-ingressgateway` port 80, 443 and 31400 are reached.
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub tcp: SocketAddr,
    _one: MutexGuard<'static, ()>,
}

impl Installed {
    /// For the few places where the two kinds of mesh differ.
    pub const ON_LAPTOP: bool = false;

    /// Installs the mesh if it is not there, applies these samples, waits until they run.
    #[track_caller]
    pub fn up(samples: &[&str]) -> Self {
        Self::up_with("", samples)
    }

    /// The same with further mesh settings, as in the ConfigMap `istio`, key `mesh`.
    #[track_caller]
    pub fn up_with(mesh_config: &str, samples: &[&str]) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        install();
        let [http, https, tcp] = gateway();
        let home = std::env::temp_dir().join(format!("mesh-scenario-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a folder for what the scenario writes");
        let mut mesh =
            Installed { home, applied: Mutex::default(), settings: None, http, https, tcp, _one: one };
        if !mesh_config.is_empty() {
            mesh.settings = Some(mesh.change_settings(mesh_config));
            // Settings of proxies come into a pod when it is made.
            mesh.clear(&[]);
        }
        mesh.clear(samples);
        for name in samples {
            mesh.ok(&["apply", &whole(name).0, &whole(name).1]);
        }
        let list = samples.join(",");
        let data = format!("--from-literal=samples={list}");
        let text = mesh.ok(&["create", "configmap", STANDING, &data, "--dry-run=client", "-o", "yaml"]);
        let file = mesh.file("standing.yaml", &text);
        mesh.ok(&["apply", "-f", &file]);
        if !samples.is_empty() {
            mesh.ok(&["wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s"]);
        }
        if samples.contains(&"bookinfo") {
            eventually("the page through the gateway", || match Ask::get("/productpage").send(http) {
                Ok(page) if page.status == 200 && page.body.contains("Reviewer1") => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        mesh
    }

    /// What the control plane's metrics endpoint says; nothing while it does not run.
    pub fn pilot_metrics(&self) -> String {
        let path = "jsonpath={.items[?(@.status.phase==\"Running\")].metadata.name}";
        let pods = self.meshctl(&["get", "pods", "-n", "istio-system", "-l", "app=istiod", "-o", path]);
        let name = pods.stdout.split_whitespace().next().unwrap_or_default();
        let url = format!("/api/v1/namespaces/istio-system/pods/{name}:15014/proxy/metrics");
        self.meshctl(&["get", "--raw", &url]).stdout
    }

    /// Ends the control plane without warning.
    #[track_caller]
    pub fn kill_pilot(&self) {
        self.ok(&["delete", "pod", "-n", "istio-system", "-l", "app=istiod", "--grace-period=0", "--force"]);
    }

    /// Removes what earlier scenarios left: all configuration, and workloads of samples that are not wanted now.
    fn clear(&self, wanted: &[&str]) {
        for namespace in ["default", "istio-system"] {
            self.ok(&["delete", CONFIGURATION, "--all", "-n", namespace, "--ignore-not-found"]);
        }
        let path = "jsonpath={.data.samples}";
        let standing = self.meshctl(&["get", "configmap", STANDING, "-o", path, "--ignore-not-found"]).stdout;
        for name in standing.split(',').filter(|name| !name.is_empty() && !wanted.contains(name)) {
            let (flag, path) = whole(name);
            // Nobody waits for the grace of applications that nobody calls.
            self.ok(&["delete", &flag, &path, "--ignore-not-found", "--grace-period=1"]);
        }
    }

    /// Adds to the settings of the mesh; gives the old ones.
    fn change_settings(&self, more: &str) -> String {
        let old =
            self.ok(&["get", "configmap", "istio", "-n", "istio-system", "-o", "jsonpath={.data.mesh}"]);
        let mut all: serde_json::Value = serde_saphyr::from_str(&old).expect("mesh settings are YAML");
        let more: serde_json::Value = serde_saphyr::from_str(more).expect("settings of a test are YAML");
        merge(&mut all, more);
        self.set_settings(&all.to_string());
        old
    }

    fn set_settings(&self, text: &str) {
        let patch = serde_json::json!({"data": {"mesh": text}}).to_string();
        self.ok(&["patch", "configmap", "istio", "-n", "istio-system", "--type=merge", "-p", &patch]);
    }
}

impl Driven for Installed {
    fn home(&self) -> &Path {
        &self.home
    }

    fn http(&self) -> SocketAddr {
        self.http
    }

    /// kubectl or `meshctl`: on a laptop all these words are meshctl's.
    fn meshctl(&self, args: &[&str]) -> Output {
        if is_kubectl(args) { kubectl(args) } else { meshctl(args) }
    }

    fn applied(&self, file: &str) {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner).push(file.to_owned());
    }

    fn story(&self) -> String {
        let pods = kubectl(&["get", "pods", "-A", "-o", "wide"]);
        let events = kubectl(&["get", "events", "-A", "--sort-by=.lastTimestamp"]);
        let events: Vec<&str> = events.stdout.lines().collect();
        let pilot = kubectl(&["logs", "-n", "istio-system", "deploy/istiod", "--tail=30"]);
        let tail = events[events.len().saturating_sub(15)..].join("\n");
        format!("{}\n{tail}\n--- istiod\n{}", pods.stdout, pilot.stdout)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the mesh of the failed test:\n{}", self.story());
        }
        let applied = std::mem::take(self.applied.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut files: Vec<&String> = applied.iter().collect();
        files.dedup();
        for file in files.into_iter().rev() {
            let gone = kubectl(&["delete", "-f", file, "--ignore-not-found", "--grace-period=1"]);
            if !gone.success {
                eprintln!("{gone}");
            }
        }
        if let Some(settings) = &self.settings {
            let patch = serde_json::json!({"data": {"mesh": settings}}).to_string();
            kubectl(&["patch", "configmap", "istio", "-n", "istio-system", "--type=merge", "-p", &patch]);
            // Pods that were made with other settings are nobody's.
            let all = ["delete", "deployment", "--all", "-n", "default", "--grace-period=1"];
            kubectl(&all);
        }
    }
}

/// `meshctl` on the test cluster.
pub fn meshctl(args: &[&str]) -> Output {
    let mut command = Command::new(program("meshctl"));
    Output::of(command.args(args).env("KUBECONFIG", kubeconfig()).stdin(Stdio::null()))
}

/// kubectl's flag and path of a sample: a folder is described by its kustomization, if it has one.
fn whole(name: &str) -> (String, String) {
    let path = sample(name);
    let described =
        ["kustomization.yaml", "kustomization.yml"].iter().any(|file| Path::new(&path).join(file).exists());
    (if described { "-k" } else { "-f" }.to_owned(), path)
}

/// Words that are kubectl's in a cluster.
fn is_kubectl(args: &[&str]) -> bool {
    const WORDS: &[&str] = &[
        "apply", "create", "delete", "exec", "get", "label", "logs", "patch", "rollout", "scale", "set",
        "wait",
    ];
    args.first().is_some_and(|word| WORDS.contains(word))
}

/// `meshctl install` with the profile of the documented tasks, unless it has been done, and the label that has proxies put
/// into the pods of namespace `default`.
#[track_caller]
pub fn install() {
    let there = kubectl(&["get", "deployment", "-n", "istio-system", "istiod", "istio-ingressgateway"]);
    if !there.success {
        let done = meshctl(&["install", "--set", "profile=demo", "-y"]);
        assert!(done.success, "{done}");
    }
    let label = ["label", "namespace", "default", "istio-injection=enabled", "--overwrite"];
    let done = kubectl(&label);
    assert!(done.success, "{done}");
    let ready = kubectl(&["rollout", "status", "deployment/istiod", "-n", "istio-system", "--timeout=60s"]);
    assert!(ready.success, "{ready}");
}

/// Addresses of the ingress gateway's ports 80, 443 and 31400: its load balancer's, or those of the node's ports where no
/// load balancer gives any (kind).
#[track_caller]
pub fn gateway() -> [SocketAddr; 3] {
    eventually("an address of the ingress gateway", || {
        let service =
            kubectl(&["get", "service", "-n", "istio-system", "istio-ingressgateway", "-o", "json"]);
        let service: serde_json::Value =
            serde_json::from_str(&service.stdout).map_err(|_| service.to_string())?;
        let balancer = &service["status"]["loadBalancer"]["ingress"][0]["ip"];
        let (host, key) = match balancer.as_str() {
            Some(ip) => (ip.to_owned(), "port"),
            None => (node()?, "nodePort"),
        };
        let ip: IpAddr = host.parse().map_err(|_| format!("{host} is no address"))?;
        let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
        let mut found = [80_u16, 443, 31400].map(|port| {
            let entry = ports.iter().find(|entry| entry["port"] == port)?;
            let number = u16::try_from(entry[key].as_u64()?).ok()?;
            Some(SocketAddr::new(ip, number))
        });
        match [found[0].take(), found[1].take(), found[2].take()] {
            [Some(http), Some(https), Some(tcp)] => Ok([http, https, tcp]),
            _ => Err(service.to_string()),
        }
    })
}

fn node() -> Result<String, String> {
    let path = "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
    let told = kubectl(&["get", "nodes", "-o", path]);
    if told.success { Ok(told.stdout) } else { Err(told.to_string()) }
}

/// Maps are merged, everything else is replaced.
fn merge(into: &mut serde_json::Value, more: serde_json::Value) {
    match (into, more) {
        (serde_json::Value::Object(into), serde_json::Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}
