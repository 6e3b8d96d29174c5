//! Programs under test as child processes: started with their output kept, ended by pid when dropped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::programs::program;
use crate::until::eventually;

/// A child process whose standard output and error go to files.
pub struct Process {
    child: Child,
    name: String,
    out: PathBuf,
    err: PathBuf,
}

/// A `pilot` with these words first, which listens at these addresses: plain xDS, xDS with TLS, HTTP, metrics, webhooks.
pub fn pilot(words: &[&str], ports: &[SocketAddr; 5]) -> Command {
    let mut command = Command::new(program("pilot"));
    command.args(words);
    let flags = ["--grpcAddr", "--secureGRPCAddr", "--httpAddr", "--monitoringAddr", "--httpsAddr"];
    for (flag, address) in flags.iter().zip(ports) {
        command.args([*flag, &address.to_string()]);
    }
    command.env_remove("KUBECONFIG");
    command
}

impl Process {
    /// Starts it; `folder` takes its output.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[track_caller]
    pub fn start(name: &str, folder: &std::path::Path, command: &mut Command) -> Self {
        let (out, err) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let file = |path: &PathBuf| std::fs::File::create(path).expect("the folder can be written");
        command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {command:?}: {error}"));
        Process { child, name: name.into(), out, err }
    }

    /// What it has printed so far: standard output, standard error.
    pub fn output(&self) -> (String, String) {
        let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        (read(&self.out), read(&self.err))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a kubelet does.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid()).expect("a process id"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it is there");
    }

    /// Waits for its end; its exit code, if it was not killed.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = eventually(&format!("{} ends", self.name), || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        status.code()
    }

    /// Fails when the process has ended, with what it said.
    ///
    /// # Errors
    /// The end of its standard error.
    pub fn alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            ended => {
                let (out, err) = self.output();
                let err = &err[err.floor_char_boundary(err.len().saturating_sub(4000))..];
                let out = &out[out.floor_char_boundary(out.len().saturating_sub(1000))..];
                Err(format!("{} ended: {ended:?}\n{out}\n{err}", self.name))
            }
        }
    }

    /// Waits until `ready` holds, giving up when the process ends.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut ready: impl FnMut() -> Result<T, String>) -> T {
        eventually(what, || {
            if let Err(ended) = self.alive() {
                panic!("{what}: {ended}");
            }
            ready()
        })
    }

    /// Ends it without warning and waits for it.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (out, err) = self.output();
            let tail =
                |text: &str| text[text.floor_char_boundary(text.len().saturating_sub(3000))..].to_string();
            eprintln!("--- {} said\n{}\n{}", self.name, tail(&out), tail(&err));
        }
        self.kill();
    }
}

/// A folder that goes when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder with a short path.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub fn new(name: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::env::var_os("MESH_KEEP").is_none() {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }
}
