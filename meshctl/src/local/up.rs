//! `meshctl up`, from the arguments to the last line.
//!
//! In: manifests and options. Out: a running mesh, until Ctrl-C, `meshctl down` or the end of its terminal; then
//! nothing is left but the state folder. Detached, a copy of the program does this in the background, and this one
//! waits until that is ready.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use api::Severity;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::apply::{self, Mode};
use super::broker::{Broker, Publish};
use super::client::Client;
use super::ground::Ground;
use super::images;
use super::input::{self, Text};
use super::mesh::Mesh;
use super::paths::Paths;
use super::protocol::Ask;
use super::ready;
use super::screen::Screen;
use super::{control, reconcile, renew};
use crate::cmd::printed::BadInput;
use crate::globals::DEFAULT_MESH;

/// How the mesh is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In this process, on this terminal.
    Here,
    /// In a copy of it, until it is ready.
    Detach,
    /// This is that copy.
    Background,
}

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the mesh.
    pub mesh: String,
    /// Namespace of objects that do not say one.
    pub namespace: String,
    /// Manifests.
    pub files: Vec<String>,
    /// Wishes for published ports.
    pub publish: Vec<Publish>,
    /// Lines only.
    pub plain: bool,
    /// Without namespaces, even if they are allowed.
    pub loopback: bool,
    /// How to run.
    pub way: Way,
}

const STARTED: &str = "MESHCTL_STARTED";

/// Runs it.
pub fn run(options: Options) -> Result<i32> {
    let paths = Paths::of(&options.mesh)?;
    if options.way != Way::Background
        && let Some(mut client) = Client::try_connect(&options.mesh)?
    {
        let status = client.value(&Ask::Status)?;
        let url = status["url"].as_str().map_or_else(String::new, |url| format!(" at {url}"));
        let said = said(&options.mesh);
        anstream::eprintln!(
            "mesh {} is running already{url} (process {}); change it with `meshctl{said} apply -f`, end it with \
             `meshctl{said} down`",
            options.mesh,
            status["pid"]
        );
        return Ok(1);
    }
    let texts = input::read(&options.files).map_err(|error| BadInput(format!("{error:#}")))?;
    let mut refused = 0;
    // The background copy is started with what was looked at already.
    if options.way != Way::Background {
        let (usable, findings) = apply::look(&texts, &options.namespace);
        refused = findings.count(Severity::Error);
        if usable == 0 {
            let why = if refused > 0 { "every object was refused" } else { "there are no objects" };
            anstream::eprint!("{findings}");
            bail!(BadInput(format!("nothing to run: {why} in {}", options.files.join(", "))));
        }
    }
    for program in ["pilot", "proxy"] {
        images::sibling(program)?;
    }
    let broker = Broker::new(options.publish.clone());
    broker.check()?;
    if options.way == Way::Detach {
        return detach(&options, &paths, refused);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(live(&options, paths, texts, broker));
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

/// Starts the background copy, and waits until the mesh is ready.
fn detach(options: &Options, paths: &Paths, refused: usize) -> Result<i32> {
    paths.make()?;
    let log = paths.logs().join("meshctl.log");
    let file = std::fs::File::create(&log).with_context(|| log.display().to_string())?;
    let started = since_epoch();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1).filter(|word| word != "-d" && word != "--detach"));
    command.arg("--background").env(STARTED, started.as_nanos().to_string());
    let mut child = command
        .stdin(if options.files.iter().any(|file| file == "-") { Stdio::inherit() } else { Stdio::null() })
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .context("start the mesh in the background")?;
    let mut client = loop {
        if let Some(client) = Client::try_connect(&options.mesh)? {
            break client;
        }
        if let Some(status) = child.try_wait()? {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            anstream::eprint!("{text}");
            bail!("the mesh ended at once ({status})");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let (code, value) = client.ask(&Ask::Ready, &[])?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    anstream::print!("{text}");
    let status = value.unwrap_or_default();
    let took = (since_epoch().saturating_sub(started)).as_secs_f64();
    match (code, status["url"].as_str(), status["http"].as_u64()) {
        (0, Some(url), _) => anstream::println!("{url} (ready in {took:.2} s)"),
        (0, None, Some(port)) => anstream::println!(
            "mesh {} is ready (in {took:.2} s), its gateway at http://127.0.0.1:{port}",
            options.mesh
        ),
        (0, None, None) => anstream::println!("mesh {} is ready (in {took:.2} s)", options.mesh),
        _ => anstream::eprintln!("mesh {} runs, but not everything in it is ready", options.mesh),
    }
    let said = said(&options.mesh);
    if refused > 0 {
        anstream::eprintln!(
            "what has the errors above is not in it; mend it and `meshctl{said} apply -f` it"
        );
    }
    anstream::println!("end it with `meshctl{said} down`; logs are in {}", paths.logs().display());
    Ok(code.max(i32::from(refused > 0)))
}

/// How another command says which mesh is meant.
fn said(mesh: &str) -> String {
    if mesh == DEFAULT_MESH { String::new() } else { format!(" --mesh {mesh}") }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// When the command was given.
fn started() -> Instant {
    let given =
        std::env::var(STARTED).ok().and_then(|text| text.parse::<u64>().ok()).map(Duration::from_nanos);
    let ago = given.map(|given| since_epoch().saturating_sub(given)).unwrap_or_default();
    Instant::now().checked_sub(ago).unwrap_or_else(Instant::now)
}

async fn live(options: &Options, paths: Paths, texts: Vec<Text>, broker: Broker) -> Result<i32> {
    let begin = started();
    if options.way == Way::Background {
        // No terminal's end shall end the mesh; already leading a session is as good.
        nix::unistd::setsid().ok();
    }
    paths.make()?;
    let _lock = lock(&paths)?;
    let ground = ground(options).await;
    let mesh = Mesh::start(paths, ground, broker).await?;
    apply::install(&mesh);
    let outcome = apply::apply(&mesh, &texts, &options.namespace, Mode::Apply);
    let mut screen = Screen::new(Arc::clone(&mesh), options.plain || options.way == Way::Background);
    for finding in outcome.findings.iter().filter(|finding| finding.severity != Severity::Info) {
        screen.say(&finding.to_string());
    }
    for wish in mesh.broker.unmet(&mesh.world()) {
        screen.say(&wish);
    }
    let refused = outcome.findings.count(Severity::Error);
    renew::begin(&mesh);
    let listener = listen(&mesh.paths)?;
    let (say, mut said) = mpsc::unbounded_channel();
    tokio::spawn(reconcile::run(Arc::clone(&mesh), move |line| drop(say.send(line))));
    tokio::spawn(renew::run(Arc::clone(&mesh)));
    control::serve(Arc::clone(&mesh), listener)?;
    let waiting = Arc::clone(&mesh);
    let mut waiting = tokio::spawn(async move { ready::wait(&waiting).await });
    let mut lines = mesh.logs.follow();
    let mut changes = mesh.changes();
    let mut signals = Signals::new(options.way)?;
    let mut known = false;
    loop {
        tokio::select! {
            outcome = &mut waiting, if !known => {
                known = true;
                tell(&mut screen, &mesh, outcome?, begin, refused);
            }
            Some(line) = said.recv() => screen.say(&line),
            line = lines.recv() => {
                let mut batch: Vec<_> = line.into_iter().collect();
                while let Ok(more) = lines.try_recv() {
                    batch.push(more);
                }
                if options.way == Way::Here {
                    screen.logs(&batch);
                }
            }
            _ = changes.changed() => {
                screen.redraw();
                tokio::time::sleep(Screen::pause()).await;
            }
            () = signals.any() => break,
            () = mesh.ended() => break,
        }
    }
    if options.way == Way::Here {
        anstream::eprintln!("ending mesh {} ...", mesh.paths.name);
    }
    mesh.shut_down().await;
    // What is not gone is only files of this run; a next run empties the folder.
    std::fs::remove_dir_all(&mesh.paths.runtime).ok();
    Ok(0)
}

/// Finds out whether namespaces may be made here, and says what is lost if not.
async fn ground(options: &Options) -> Ground {
    let (why, ground) = if options.loopback {
        ("as asked for".to_owned(), Ground::loopback(&options.mesh))
    } else {
        match Ground::find(Path::new("/proc/self/exe"), &options.mesh).await {
            Ok(ground) => return ground,
            Err((error, ground)) => (format!("{error:#}"), ground),
        }
    };
    anstream::eprintln!(
        "running without namespaces ({why}): no interception, no mutual TLS, no Service names and no mounted files; \
         HTTP goes through the proxies for applications that honour http_proxy and bind BIND_IP"
    );
    ground
}

fn tell(screen: &mut Screen, mesh: &Mesh, outcome: ready::Outcome, begin: Instant, refused: usize) {
    for problem in &outcome.problems {
        screen.say(problem);
    }
    let took = outcome.answered.map_or_else(Instant::now, tokio::time::Instant::into_std) - begin;
    let status = ready::status(mesh);
    let line = match (outcome.ready, status["url"].as_str(), status["http"].as_u64()) {
        (true, Some(url), _) => {
            format!("{url}   first 200 after {:.2} s   Ctrl-C ends the mesh", took.as_secs_f64())
        }
        (true, None, Some(port)) => {
            format!(
                "ready after {:.2} s   gateway at http://127.0.0.1:{port}   Ctrl-C ends the mesh",
                took.as_secs_f64()
            )
        }
        (true, None, None) => format!("ready after {:.2} s   Ctrl-C ends the mesh", took.as_secs_f64()),
        (false, ..) => "not everything is ready   Ctrl-C ends the mesh".to_owned(),
    };
    let refused = match refused {
        0 => String::new(),
        1 => "   1 error in the manifests, see above".to_owned(),
        many => format!("   {many} errors in the manifests, see above"),
    };
    screen.footer(line + &refused);
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    way: Way,
}

impl Signals {
    fn new(way: Way) -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            way,
        })
    }

    async fn any(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hang_up.recv() => if self.way == Way::Here { return },
            }
        }
    }
}

/// Only one process runs a mesh of this name.
fn lock(paths: &Paths) -> Result<nix::fcntl::Flock<std::fs::File>> {
    let file = std::fs::File::create(paths.state.join("lock"))?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|_| anyhow::anyhow!("mesh {} is being started or ended by another process", paths.name))
}

fn listen(paths: &Paths) -> Result<UnixListener> {
    let path = paths.control();
    // Left by a mesh that was killed; the lock says that nobody uses it.
    std::fs::remove_file(&path).ok();
    UnixListener::bind(&path).with_context(|| format!("listen on {}", path.display()))
}
