//! What a test does with a running mesh, whichever kind it is.
//!
//! In: [`Driven`]'s few required methods, which a laptop mesh and an installed one answer each in their way. Out: the verbs of
//! scenarios: apply, ask, exec, logs, metrics. Those fail the test, and tell the mesh's story, when a command fails.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::client::{Ask, Reply};
use crate::programs::sample;
use crate::until::eventually;

/// What a command printed.
#[derive(Clone, Debug)]
pub struct Output {
    pub success: bool,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Output {
            success: output.status.success(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// A running mesh under test.
pub trait Driven {
    /// The folder for whatever a test writes.
    fn home(&self) -> &Path;

    /// Where Service `istio-ingressgateway` port 80 is reached.
    fn http(&self) -> SocketAddr;

    /// Runs `meshctl` on this mesh, or kubectl where the word is kubectl's.
    fn meshctl(&self, args: &[&str]) -> Output;

    /// What the mesh looks like, for a failure's message.
    fn story(&self) -> String;

    /// Told of every file that is applied.
    fn applied(&self, _file: &str) {}

    /// Runs it, and fails the test with what it printed when it fails.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.meshctl(args);
        assert!(output.success, "{}: {output}\n{}", args.join(" "), self.story());
        output.stdout
    }

    /// `apply -f` a file.
    #[track_caller]
    fn apply_file(&self, file: &str) -> String {
        self.applied(file);
        self.ok(&["apply", "-f", file])
    }

    /// `apply -f` a sample.
    #[track_caller]
    fn apply(&self, path: &str) -> String {
        self.apply_file(&sample(path))
    }

    /// `delete -f` a sample.
    #[track_caller]
    fn delete(&self, path: &str) -> String {
        self.ok(&["delete", "-f", &sample(path)])
    }

    /// Writes objects to a file of this mesh; gives its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home().join(name);
        std::fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    }

    /// `apply -f` of text.
    #[track_caller]
    fn apply_text(&self, name: &str, text: &str) -> String {
        let file = self.file(name, text);
        self.apply_file(&file)
    }

    /// Runs a command in a Deployment's first pod.
    #[track_caller]
    fn exec(&self, deployment: &str, container: &str, command: &[&str]) -> Output {
        let target = format!("deploy/{deployment}");
        let mut args = vec!["exec", target.as_str(), "-c", container, "--"];
        args.extend(command);
        self.meshctl(&args)
    }

    /// A request to the ingress gateway, tried again while nobody listens yet.
    #[track_caller]
    fn ask(&self, ask: &Ask<'_>) -> Reply {
        eventually("an answer of the gateway", || ask.send(self.http()))
    }

    /// `GET path` through the gateway.
    #[track_caller]
    fn get(&self, path: &str) -> Reply {
        self.ask(&Ask::get(path))
    }

    /// Names of the pods with a label, such as `app=reviews`; those that are ending are none.
    #[track_caller]
    fn pods(&self, selector: &str) -> Vec<String> {
        let pods = self.ok(&["get", "pods", "-l", selector, "-o", "json"]);
        let pods: serde_json::Value = serde_json::from_str(&pods).expect("pods are JSON");
        let items = pods["items"].as_array().expect("a list of pods");
        let there = items.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        there.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }

    /// Logs of a container of a Deployment's first pod, from its start. A container that is still about to
    /// start has none yet, and is waited for.
    #[track_caller]
    fn logs(&self, deployment: &str, container: &str) -> String {
        let target = format!("deploy/{deployment}");
        eventually(&format!("logs of {target}, container {container}"), || {
            let output = self.meshctl(&["logs", &target, "-c", container, "--tail=-1"]);
            if output.success { Ok(output.stdout) } else { Err(output) }
        })
    }

    /// What a proxy's metrics endpoint says (port 15020, merged).
    #[track_caller]
    fn metrics(&self, deployment: &str) -> String {
        let output =
            self.exec(deployment, "istio-proxy", &["pilot-agent", "request", "GET", "stats/prometheus"]);
        assert!(output.success, "metrics of {deployment}: {output}");
        output.stdout
    }
}
