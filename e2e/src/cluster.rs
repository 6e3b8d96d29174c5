//! A namespace of a real Kubernetes, driven through `kubectl` as a user would. Each has its own name, so that tests run
//! beside each other, and is deleted when dropped.
//!
//! `MESH_KUBECONFIG` names the cluster: never the one that happens to be current at somebody's keyboard.
//! `cargo xtask test --cluster` sets it, and `MESH_KUBECTL` where the cluster brings its own.

use std::ffi::OsString;
use std::fmt::Display;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::driven::Output;
use crate::programs::sample;
use crate::until::eventually;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Longest wait for pods that are being started, as kubectl writes it.
const STARTING: &str = "--timeout=180s";

/// A namespace.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one.
    #[track_caller]
    pub fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}-{number}", std::process::id());
        expect(kubectl(&["create", "namespace", &name]));
        // Pods need its service account, which a controller makes.
        let namespace = Namespace { name };
        eventually("the service account", || namespace.try_run(&["get", "serviceaccount", "default"]));
        namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it a label, `KEY=VALUE`, or takes one away, `KEY-`.
    #[track_caller]
    pub fn label(&self, label: &str) {
        expect(kubectl(&["label", "namespace", &self.name, "--overwrite", label]));
    }

    /// Applies files below `samples` and waits until every Deployment is available.
    #[track_caller]
    pub fn deploy(&self, samples: &[&str]) {
        for name in samples {
            self.run(&["apply", "-f", &sample(name)]);
        }
        let waited = self.output(&["wait", "--for=condition=Available", "deployment", "--all", STARTING]);
        if !waited.success {
            panic!(
                "{waited}\n{}\n{}",
                self.output(&["get", "pods", "-o", "wide"]),
                self.output(&["get", "events"])
            );
        }
    }

    /// `kubectl -n NAMESPACE ARGS`; what it printed.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        expect(self.output(args))
    }

    /// The same, with a failure as a value.
    pub fn try_run(&self, args: &[&str]) -> Result<String, String> {
        let output = self.output(args);
        if output.success { Ok(output.stdout) } else { Err(output.to_string()) }
    }

    /// A command in a pod.
    pub fn exec(&self, pod: &str, command: &[&str]) -> Result<String, String> {
        let mut args = vec!["exec", pod, "--"];
        args.extend(command);
        self.try_run(&args)
    }

    fn output(&self, args: &[&str]) -> Output {
        let mut all = vec!["-n", &self.name];
        all.extend(args);
        kubectl(&all)
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody waits for it: the next test has another.
        let output = kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
        if !output.success {
            eprintln!("{output}");
        }
    }
}

/// What it printed; the test fails if it failed.
#[track_caller]
pub(crate) fn expect(output: Output) -> String {
    assert!(output.success, "{}", &output as &dyn Display);
    output.stdout
}

/// kubectl on the test cluster.
pub fn kubectl(args: &[&str]) -> Output {
    let program = std::env::var_os("MESH_KUBECTL").unwrap_or_else(|| OsString::from("kubectl"));
    Output::of(Command::new(program).args(args).env("KUBECONFIG", kubeconfig()).stdin(Stdio::null()))
}

/// The test cluster's kubeconfig.
pub fn kubeconfig() -> OsString {
    std::env::var_os("MESH_KUBECONFIG")
        .expect("MESH_KUBECONFIG names a test cluster; `cargo xtask test --cluster` sets it")
}
