//! A laptop mesh driven through `meshctl` only. Each has its own name, state folder and published ports, so that tests
//! run beside each other and beside a mesh of the person at the keyboard. Dropping it brings it down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::driven::{Driven, Output};
use crate::programs::{program, sample};

static COUNT: AtomicU32 = AtomicU32::new(0);

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

    /// The command, for tests that want to hold the process.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("meshctl"));
        command.env("MESHCTL_MESH", &self.name).args(args).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.home.join("state")).env("XDG_RUNTIME_DIR", &self.home);
        command.env_remove("KUBECONFIG");
        command
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

    /// Kills a program of this mesh without warning.
    #[track_caller]
    fn kill(&self, name: &str) {
        let found = self.processes(name);
        let (pid, _) = found.first().unwrap_or_else(|| panic!("no process of {name} in this mesh"));
        let status = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// Processes of a program of this mesh, with their environments: those that were started, however far up, by a process
    /// whose arguments or environment name the mesh's folder.
    pub fn processes(&self, name: &str) -> Vec<(u32, Vec<String>)> {
        let home = self.home.display().to_string();
        let ours = |pid: u32| {
            let mut above = std::iter::successors(Some(pid), |pid| parent(*pid)).take(12);
            above.any(|pid| {
                [words(pid, "cmdline"), words(pid, "environ")].concat().iter().any(|w| w.contains(&home))
            })
        };
        let is_it = |pid: &u32| {
            let line = words(*pid, "cmdline");
            line.first()
                .is_some_and(|program| Path::new(program).file_name().is_some_and(|file| file == name))
        };
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(is_it).filter(|pid| ours(*pid)).map(|pid| (pid, words(pid, "environ"))).collect()
    }
}

/// The words of `/proc/PID/cmdline` or `environ`; none where the process is gone.
fn words(pid: u32, file: &str) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    bytes.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok().filter(|pid| *pid > 1)
}

impl Driven for Laptop {
    fn home(&self) -> &Path {
        &self.home
    }

    fn http(&self) -> SocketAddr {
        self.http
    }

    fn meshctl(&self, args: &[&str]) -> Output {
        Output::of(&mut self.command(args))
    }

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

/// Ports that nobody has, and that nobody gets who does not ask for them by number: below those that the kernel gives to
/// outgoing connections, and below those of services in a cluster. Each is given out once in this process.
///
/// # Panics
/// When all are taken.
pub fn free_ports<const N: usize>() -> [SocketAddr; N] {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 10_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    [(); N].map(|()| {
        let mut tried = (0..COUNT).map(|_| {
            // Other test programs begin elsewhere.
            let place =
                NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97));
            let port = u16::try_from(FIRST + place % COUNT).expect("below 30,000");
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        });
        tried.find(|address| TcpListener::bind(address).is_ok()).expect("a free port")
    })
}
