//! Accepts commands and dispatches them.
//!
//! In: connections on the control socket. Out: answers, and a `Done` with the exit code.

use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Handle;

use crate::local::apply::{self, Mode};
use crate::local::mesh::Mesh;
use crate::local::protocol::{self, Answer, Ask};
use crate::local::{ready, settle};

use super::{logs, objects, pods};

/// How long a command waits for proxies to confirm what it changed.
const SETTLE_PATIENCE: Duration = Duration::from_secs(3);

/// One command's connection.
pub(super) struct Connection {
    pub(super) mesh: Arc<Mesh>,
    pub(super) stream: UnixStream,
    pub(super) runtime: Handle,
}

impl Connection {
    pub(super) fn say(&mut self, answer: &Answer) -> Result<()> {
        self.say_with(answer, &[])
    }

    pub(super) fn say_with(&mut self, answer: &Answer, fds: &[RawFd]) -> Result<()> {
        Ok(protocol::send(&mut self.stream, answer, fds)?)
    }

    /// Waits a little until what was written is in force, and tells if that takes longer.
    pub(super) fn settle(&mut self) -> Result<()> {
        let settled = self.runtime.block_on(settle::settle(&self.mesh, SETTLE_PATIENCE));
        match settled {
            Ok(()) => Ok(()),
            Err(behind) => self.problem(format!("note: not in force everywhere yet: {behind}")),
        }
    }

    pub(super) fn line(&mut self, line: impl Into<String>) -> Result<()> {
        self.say(&Answer::Line(line.into()))
    }

    pub(super) fn problem(&mut self, line: impl Into<String>) -> Result<()> {
        self.say(&Answer::Problem(line.into()))
    }
}

/// Listens in a thread of its own; the socket file goes with the mesh's folder.
pub fn serve(mesh: Arc<Mesh>, listener: UnixListener) -> Result<()> {
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = Connection { mesh: Arc::clone(&mesh), stream, runtime: runtime.clone() };
                let started =
                    std::thread::Builder::new().name("command".to_owned()).spawn(move || answer(connection));
                // Without a thread the connection closes, and the command says that the mesh did not answer.
                drop(started);
            }
        })
        .context("start the control thread")?;
    Ok(())
}

fn answer(mut connection: Connection) {
    while let Ok(Some((ask, fds))) = protocol::receive::<Ask>(&mut connection.stream) {
        let code = match handle(&mut connection, ask, fds) {
            Ok(code) => code,
            Err(error) => {
                // The command may have gone.
                connection.problem(format!("Error: {error:#}")).ok();
                1
            }
        };
        if connection.say(&Answer::Done(code)).is_err() {
            return;
        }
    }
}

fn handle(connection: &mut Connection, ask: Ask, fds: Vec<OwnedFd>) -> Result<i32> {
    match ask {
        Ask::Status => {
            let status = ready::status(&connection.mesh);
            connection.say(&Answer::Value(status))?;
            Ok(0)
        }
        Ask::Ready => {
            let mesh = Arc::clone(&connection.mesh);
            let outcome = connection.runtime.block_on(ready::wait(&mesh));
            for line in outcome.problems {
                connection.problem(line)?;
            }
            connection.say(&Answer::Value(ready::status(&mesh)))?;
            Ok(i32::from(!outcome.ready))
        }
        Ask::Apply { texts, namespace, create, dry_run } => {
            let mode = match (dry_run, create) {
                (true, _) => Mode::DryRun,
                (false, true) => Mode::Create,
                (false, false) => Mode::Apply,
            };
            let outcome = apply::apply(&connection.mesh, &texts, &namespace, mode);
            for line in outcome.lines {
                connection.line(line)?;
            }
            for finding in &outcome.findings {
                if finding.severity != api::Severity::Info {
                    connection.problem(finding.to_string())?;
                }
            }
            if !dry_run {
                connection.settle()?;
            }
            Ok(i32::from(outcome.findings.has_errors()))
        }
        Ask::DeleteTexts { texts, namespace, ignore_missing } => {
            objects::delete_texts(connection, &texts, &namespace, ignore_missing)
        }
        Ask::Delete { which, all, ignore_missing } => {
            objects::delete(connection, &which, all, ignore_missing)
        }
        Ask::Get(which) => objects::get(connection, &which),
        Ask::Scale { which, replicas } => objects::scale(connection, &which, replicas),
        Ask::Restart(which) => objects::restart(connection, &which),
        Ask::Label { which, changes, annotations, overwrite } => {
            objects::label(connection, &which, &changes, annotations, overwrite)
        }
        Ask::Logs(wish) => logs::logs(connection, &wish),
        Ask::Exec { namespace, pod, container, command, terminal } => {
            let wanted = pods::Exec { container, command, terminal };
            pods::exec(connection, &namespace, &pod, wanted, fds)
        }
        Ask::Dial { namespace, pod, port } => pods::dial(connection, &namespace, &pod, port),
        Ask::Down => {
            connection.mesh.end();
            connection.line(format!("mesh {} is ending", connection.mesh.paths.name))?;
            Ok(0)
        }
    }
}
