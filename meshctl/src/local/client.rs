//! A command's side of the control socket.
//!
//! In: a question. Out: answers, printed or returned. Also finds out whether a mesh runs at all, and says what to do
//! if it does not. Blocking: commands have one thread.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::paths::Paths;
use super::protocol::{self, Answer, Ask};

/// A connection to a running mesh.
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects; an error says which mesh is meant and how to start it.
    pub fn connect(mesh: &str) -> Result<Self> {
        match Self::try_connect(mesh)? {
            Some(client) => Ok(client),
            None => {
                let others = Paths::running(mesh)?;
                let others = match others.as_slice() {
                    [] => String::new(),
                    names => format!("; {} runs: say --mesh {}", names.join(", "), names[0]),
                };
                bail!("no mesh {mesh} is running here; start it with `meshctl up FILE|DIR`{others}")
            }
        }
    }

    /// Connects if the mesh runs.
    pub fn try_connect(mesh: &str) -> Result<Option<Self>> {
        let path = Paths::of(mesh)?.control();
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Some(Self { stream })),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("connect to {}", path.display())),
        }
    }

    /// Asks, prints all lines, and returns the exit code and the value, if one came.
    pub fn ask(&mut self, ask: &Ask, fds: &[RawFd]) -> Result<(i32, Option<Value>)> {
        protocol::send(&mut self.stream, ask, fds).context("ask the mesh")?;
        let mut value = None;
        loop {
            match protocol::receive::<Answer>(&mut self.stream).context("hear from the mesh")? {
                Some((Answer::Line(line), _)) => anstream::println!("{line}"),
                Some((Answer::Problem(line), _)) => anstream::eprintln!("{line}"),
                Some((Answer::Value(new), _)) => value = Some(new),
                Some((Answer::Connection, _)) => {}
                Some((Answer::Done(code), _)) => return Ok((code, value)),
                None => bail!("the mesh has ended meanwhile"),
            }
        }
    }

    /// Asks for a value, and prints nothing of what else is said.
    pub fn quiet(&mut self, ask: &Ask) -> Result<Option<Value>> {
        protocol::send(&mut self.stream, ask, &[]).context("ask the mesh")?;
        let mut value = None;
        loop {
            match protocol::receive::<Answer>(&mut self.stream).context("hear from the mesh")? {
                Some((Answer::Value(new), _)) => value = Some(new),
                Some((Answer::Problem(line), _)) if value.is_none() => bail!(line),
                Some((Answer::Done(_), _)) => return Ok(value),
                Some(_) => {}
                None => bail!("the mesh has ended meanwhile"),
            }
        }
    }

    /// Asks, and returns all lines as one text. What the mesh complains about is the error.
    pub fn lines(&mut self, ask: &Ask) -> Result<String> {
        protocol::send(&mut self.stream, ask, &[]).context("ask the mesh")?;
        let mut text = String::new();
        let mut problem = None;
        loop {
            match protocol::receive::<Answer>(&mut self.stream).context("hear from the mesh")? {
                Some((Answer::Line(line), _)) => text.push_str(&(line + "\n")),
                Some((Answer::Problem(line), _)) => problem = Some(line),
                Some((Answer::Done(0), _)) => return Ok(text),
                Some((Answer::Done(code), _)) => bail!(problem.unwrap_or_else(|| format!("code {code}"))),
                Some(_) => {}
                None => bail!("the mesh has ended meanwhile"),
            }
        }
    }

    /// Asks for a value.
    pub fn value(&mut self, ask: &Ask) -> Result<Value> {
        match self.ask(ask, &[])? {
            (0, Some(value)) => Ok(value),
            (code, _) => bail!("the mesh gave no answer (code {code})"),
        }
    }

    /// A connection to a port of a pod, made inside the pod: `127.0.0.1:port` there. Blocking; hand it to a runtime
    /// with `TcpStream::from_std` after `set_nonblocking(true)`.
    pub fn dial(&mut self, namespace: &str, pod: &str, port: u16) -> Result<std::net::TcpStream> {
        let ask = Ask::Dial { namespace: namespace.to_owned(), pod: pod.to_owned(), port };
        protocol::send(&mut self.stream, &ask, &[])?;
        let mut connection: Option<OwnedFd> = None;
        let mut problem = None;
        loop {
            match protocol::receive::<Answer>(&mut self.stream)? {
                Some((Answer::Connection, mut fds)) => connection = fds.pop(),
                Some((Answer::Problem(line), _)) => problem = Some(line),
                Some((Answer::Done(_), _)) | None => break,
                Some(_) => {}
            }
        }
        match (connection, problem) {
            (Some(fd), _) => {
                let stream = std::net::TcpStream::from(fd);
                stream.set_nonblocking(false)?;
                Ok(stream)
            }
            (None, Some(problem)) => bail!("{}", problem.trim_start_matches("Error: ")),
            (None, None) => bail!("the mesh gave no connection to {pod}"),
        }
    }

    /// The descriptor, to watch for the end of the mesh.
    #[must_use]
    pub fn raw(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}
