//! A laptop mesh driven through `meshctl` only. Each has its own name, state folder and published ports, so that tests
//! run beside each other and beside a mesh of the person at the keyboard. Dropping it brings it down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::client::{Ask, Reply};
use crate::programs::{program, sample};
use crate::until::eventually;

static COUNT: AtomicU32 = AtomicU32::new(0);

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

/// A running mesh.
pub struct Laptop {
    home: PathBuf,
    name: String,
    /// Where Service `istio-ingressgateway` port 80, 443 and 31400 are published.
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub tcp: SocketAddr,
}

impl Laptop {
    /// For the few places where the two kinds of mesh differ.
    pub const ON_LAPTOP: bool = true;

    /// `meshctl up -d` with these samples; returns when it says that the mesh is ready.
    #[track_caller]
    pub fn up(samples: &[&str]) -> Self {
        Self::up_with("", samples)
    }

    /// The same with mesh settings: YAML of the ConfigMap `istio`, key `mesh`, as in a cluster; empty for the defaults.
    #[track_caller]
    pub fn up_with(mesh_config: &str, samples: &[&str]) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}-{number}", std::process::id());
        // Short: a Unix socket's path has at most 107 bytes.
        let home = std::env::temp_dir().join(format!("m{name}"));
        std::fs::create_dir_all(&home).expect("a folder for the mesh's state");
        let [http, https, tcp] = free_ports();
        let mesh = Laptop { home, name, http, https, tcp };
        let mut args: Vec<String> = vec!["up".into(), "-d".into()];
        for (port, address) in [
            (80, http),
            (443, https),
            (31400, tcp),
            (15021, free_ports::<1>()[0]),
            (15443, free_ports::<1>()[0]),
        ] {
            args.push("--publish".into());
            args.push(format!("istio-ingressgateway:{port}={}", address.port()));
        }
        if !mesh_config.is_empty() {
            args.push(mesh.file("mesh-config.yaml", &config_map(mesh_config)));
        }
        args.extend(samples.iter().map(|path| sample(path)));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        mesh.ok(&args);
        mesh
    }

    /// The folder that holds this mesh's state and whatever a test writes.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Runs `meshctl` on this mesh.
    pub fn meshctl(&self, args: &[&str]) -> Output {
        Output::of(&mut self.command(args))
    }

    /// The command, for tests that want to hold the process.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("meshctl"));
        command.env("MESHCTL_MESH", &self.name).args(args).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.home.join("state")).env("XDG_RUNTIME_DIR", &self.home);
        command.env_remove("KUBECONFIG");
        command
    }

    /// Runs it, and fails the test with what it printed when it fails.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.meshctl(args);
        assert!(output.success, "meshctl {}: {output}\n{}", args.join(" "), self.story());
        output.stdout
    }

    /// `meshctl apply -f` a sample.
    #[track_caller]
    pub fn apply(&self, path: &str) -> String {
        self.ok(&["apply", "-f", &sample(path)])
    }

    /// `meshctl delete -f` a sample.
    #[track_caller]
    pub fn delete(&self, path: &str) -> String {
        self.ok(&["delete", "-f", &sample(path)])
    }

    /// Writes objects to a file of this mesh; gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.join(name);
        std::fs::write(&path, text).expect("the state folder can be written");
        path.display().to_string()
    }

    /// `meshctl apply -f` of text.
    #[track_caller]
    pub fn apply_text(&self, name: &str, text: &str) -> String {
        let file = self.file(name, text);
        self.ok(&["apply", "-f", &file])
    }

    /// Runs a command in the first pod of a Deployment.
    #[track_caller]
    pub fn exec(&self, deployment: &str, container: &str, command: &[&str]) -> Output {
        let target = format!("deploy/{deployment}");
        let mut args = vec!["exec", target.as_str(), "-c", container, "--"];
        args.extend(command);
        self.meshctl(&args)
    }

    /// A request to the ingress gateway, tried again while nobody listens yet.
    #[track_caller]
    pub fn ask(&self, ask: &Ask<'_>) -> Reply {
        eventually("an answer of the gateway", || ask.send(self.http))
    }

    /// `GET path` through the gateway.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.ask(&Ask::get(path))
    }

    /// Names of the pods with a label, such as `app=reviews`.
    #[track_caller]
    pub fn pods(&self, selector: &str) -> Vec<String> {
        let out = self.ok(&["get", "pods", "-l", selector, "-o", "name"]);
        out.lines().map(|line| line.trim_start_matches("pod/").to_string()).collect()
    }

    /// Logs of a container of a Deployment's first pod.
    #[track_caller]
    pub fn logs(&self, deployment: &str, container: &str) -> String {
        self.ok(&["logs", &format!("deploy/{deployment}"), "-c", container])
    }

    /// What a proxy's metrics endpoint says (port 15020, merged).
    #[track_caller]
    pub fn metrics(&self, deployment: &str) -> String {
        let output =
            self.exec(deployment, "istio-proxy", &["pilot-agent", "request", "GET", "stats/prometheus"]);
        assert!(output.success, "metrics of {deployment}: {output}");
        output.stdout
    }

    /// What the control plane's metrics endpoint says; nothing while it does not run.
    pub fn pilot_metrics(&self) -> String {
        let ask = ["mesh-samples", "http", "http://127.0.0.1:15014/metrics"];
        let mut args = vec!["exec", "-n", "istio-system", "deploy/istiod", "--"];
        args.extend(ask);
        self.meshctl(&args).stdout
    }

    /// Ends the control plane without warning.
    #[track_caller]
    pub fn kill_pilot(&self) {
        self.kill("pilot");
    }

    /// Kills a program of this mesh without warning: the process whose arguments name it and this mesh's folder.
    #[track_caller]
    fn kill(&self, name: &str) {
        let home = self.home.display().to_string();
        let is_it = |pid: &str| {
            let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let (line, env) = (read("cmdline"), read("environ"));
            let program = line.split(|b| *b == 0).next().unwrap_or_default();
            let all = String::from_utf8_lossy(&line) + String::from_utf8_lossy(&env);
            program.ends_with(format!("/{name}").as_bytes()) && all.contains(&home)
        };
        let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
        let names = pids.filter_map(|entry| entry.file_name().into_string().ok());
        let pid = names.filter(|name| name.parse::<u32>().is_ok()).find(|pid| is_it(pid));
        let pid = pid.unwrap_or_else(|| panic!("no process of {name} in this mesh"));
        let status = Command::new("kill").args(["-9", &pid]).status().expect("kill");
        assert!(status.success());
    }

    /// The end of every log file, for a failure's message.
    fn story(&self) -> String {
        let mut story = String::new();
        let mut folders = vec![self.home.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "log") {
                    let text = std::fs::read(&path).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text);
                    let lines: Vec<&str> = text.lines().collect();
                    let tail = &lines[lines.len().saturating_sub(20)..];
                    story.push_str(&format!("--- {}\n{}\n", path.display(), tail.join("\n")));
                }
            }
        }
        story
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        let output = self.meshctl(&["down"]);
        if std::thread::panicking() {
            eprintln!("the mesh of the failed test:\n{}", self.story());
        } else {
            assert!(output.success, "meshctl down: {output}");
        }
        if std::env::var_os("MESH_KEEP").is_none() {
            std::fs::remove_dir_all(&self.home).ok();
        }
    }
}

fn config_map(mesh: &str) -> String {
    let indented: String = mesh.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n{indented}"
    )
}

/// Ports that nobody had a moment ago, all different.
pub fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("a bound socket has an address"))
}
