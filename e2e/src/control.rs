//! A pilot on this machine that is the control plane of the test cluster: a namespace of its own as the root namespace,
//! the rights of the chart and no others, and a kubeconfig with its service account's token.
//!
//! So a test needs no image and no pods, and sees a missing right as a failure. It has its own names for what is one per
//! cluster, so that it does not disturb a mesh that is installed there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::client::Ask;
use crate::cluster::{Namespace, expect, kubectl};
use crate::driven::Output;
use crate::laptop::free_ports;
use crate::process::{Folder, Process, pilot};
use crate::programs::program;

/// What is taken of the rendered charts: rights and settings.
const TAKEN: [&str; 6] =
    ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap"];

/// The namespace of one control plane, and its rights.
pub struct Control {
    pub namespace: Namespace,
    folder: Folder,
    objects: PathBuf,
    /// Name of the ConfigMap with its roots in every namespace: another than an installed mesh's.
    pub roots: String,
    /// The control plane's service account.
    account: String,
    /// Where replicas reach the API server, if not at its own address.
    pub through: Option<SocketAddr>,
}

/// One of its replicas.
pub struct Replica {
    pub process: Process,
    /// xDS and CA over TLS.
    pub secure: SocketAddr,
    /// `/ready` and `/debug`.
    pub http: SocketAddr,
}

impl Control {
    /// The namespace, rights, settings, and the definitions of the mesh's kinds if they are not there. `values` are
    /// those of `meshctl manifest generate --set`.
    #[track_caller]
    pub fn new(values: &[&str]) -> Self {
        let namespace = Namespace::new();
        let folder = Folder::new("control");
        definitions();
        let root = format!("values.global.istioNamespace={}", namespace.name());
        let mut command = Command::new(program("meshctl"));
        command.args(["manifest", "generate", "--set", "profile=minimal", "--set", &root]);
        for value in values {
            command.args(["--set", value]);
        }
        let rendered = expect(Output::of(command.stdin(Stdio::null())));
        let documents = api::yaml::load(&rendered, 1).expect("charts are YAML");
        let taken = |value: &Value| TAKEN.iter().any(|kind| value["kind"] == *kind);
        let items: Vec<Value> = documents.into_iter().map(|document| document.value).filter(taken).collect();
        let account = items.iter().filter(|item| item["kind"] == "ServiceAccount");
        let mut account = account.filter_map(|item| item["metadata"]["name"].as_str());
        let account = account.find(|name| name.starts_with("istiod")).expect("istiod has one").to_owned();
        let objects = folder.path().join("objects.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        std::fs::write(&objects, list.to_string()).expect("the folder can be written");
        let control = Control {
            roots: format!("roots-of-{}", namespace.name()),
            namespace,
            folder,
            objects,
            account,
            through: None,
        };
        expect(kubectl(&["apply", "-f", &control.objects.display().to_string()]));
        control
    }

    /// Starts a replica; it need not become ready.
    #[track_caller]
    pub fn start(&self, name: &str, environment: &[(&str, &str)]) -> Replica {
        let ports = free_ports();
        let [_, secure, http, _, _] = ports;
        let words = ["discovery", "--domain", "cluster.local", "--keepaliveMaxServerConnectionAge", "30m"];
        let mut command = pilot(&words, &ports);
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command.envs([("POD_NAMESPACE", self.namespace.name()), ("POD_NAME", name)]);
        command.envs([("PILOT_CA_CERT_CONFIGMAP", &self.roots)]).envs(environment.iter().copied());
        let process = Process::start(name, self.folder.path(), &mut command);
        Replica { process, secure, http }
    }

    /// Starts a replica and waits until it is ready.
    #[track_caller]
    pub fn ready(&self, name: &str, environment: &[(&str, &str)]) -> Replica {
        let mut replica = self.start(name, environment);
        replica.until_ready();
        replica
    }

    /// A value of the Secret with the authority's key.
    pub fn key(&self, name: &str) -> Result<String, String> {
        let path = format!("{{.data.{}}}", name.replace('.', "\\."));
        let text = self.namespace.try_run(&[
            "get",
            "secret",
            "istio-ca-secret",
            "-o",
            &format!("jsonpath={path}"),
        ])?;
        let decoded = Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut decoder = decoded.map_err(|error| error.to_string())?;
        let mut input = decoder.stdin.take().ok_or("no input")?;
        std::io::Write::write_all(&mut input, text.as_bytes()).map_err(|error| error.to_string())?;
        drop(input);
        let output = decoder.wait_with_output().map_err(|error| error.to_string())?;
        String::from_utf8(output.stdout).map_err(|error| error.to_string())
    }

    /// The test cluster with the rights of the control plane's service account.
    fn kubeconfig(&self) -> PathBuf {
        let config = expect(kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]));
        let mut config: Value = serde_json::from_str(&config).expect("kubectl prints JSON");
        let token = self.namespace.run(&["create", "token", &self.account]);
        if let Some(address) = self.through {
            config["clusters"][0]["cluster"]["server"] = format!("https://{address}").into();
        }
        config["users"][0]["user"] = json!({"token": token.trim()});
        let path = self.folder.path().join("kubeconfig");
        std::fs::write(&path, config.to_string()).expect("the folder can be written");
        path
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let output = kubectl(&["delete", "--wait=false", "-f", &self.objects.display().to_string()]);
        let named = format!("metadata.name={}", self.roots);
        let roots = kubectl(&["delete", "configmap", "-A", "--wait=false", "--field-selector", &named]);
        for failed in [output, roots].iter().filter(|output| !output.success) {
            eprintln!("{failed}");
        }
    }
}

impl Replica {
    /// Waits until `/ready` says so.
    #[track_caller]
    pub fn until_ready(&mut self) {
        let http = self.http;
        self.process.until("pilot is ready", || {
            let reply = Ask::get("/ready").send(http).map_err(|error| error.to_string())?;
            if reply.status == 200 { Ok(()) } else { Err(reply.to_string()) }
        });
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        let (out, err) = self.process.output();
        out + &err
    }

    /// Asks it to end, and waits for that; what it has said.
    pub fn end(mut self) -> String {
        let pid = i32::try_from(self.process.pid()).expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).ok();
        crate::until::eventually("it has ended", || match self.process.alive() {
            Ok(()) => Err("it runs"),
            Err(_) => Ok(()),
        });
        self.log()
    }
}

/// The definitions of the mesh's kinds; those of an installed mesh stay.
#[track_caller]
fn definitions() {
    if kubectl(&["get", "crd", "telemetries.telemetry.istio.io"]).success {
        return;
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/base/files/crd-all.gen.yaml");
    expect(kubectl(&["apply", "--server-side", "-f", file]));
    expect(kubectl(&["wait", "--for=condition=Established", "-f", file]));
}
