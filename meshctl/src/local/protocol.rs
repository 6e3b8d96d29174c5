//! What commands say to a running mesh, and what it answers: frames on a Unix socket, descriptors beside them.
//!
//! In and out: one JSON document per frame behind its length. A question is followed by any number of answers and
//! one `Done`. Descriptors travel with the first byte of a frame: the streams of `exec`, the connection of `dial`.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::input::Text;

/// Largest frame.
const LARGEST: u32 = 256 << 20;

/// A question.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// What runs; answered with one value: url, summary, pid.
    Status,
    /// The same, once everything is ready or cannot become so.
    Ready,
    /// Take objects.
    Apply { texts: Vec<Text>, namespace: String, create: bool, dry_run: bool },
    /// Remove the objects of these texts.
    DeleteTexts { texts: Vec<Text>, namespace: String, ignore_missing: bool },
    /// Remove objects by name, or all of a kind that a selector matches.
    Delete { which: Which, all: bool, ignore_missing: bool },
    /// Show objects.
    Get(Which),
    /// Lines of containers.
    Logs(LogWish),
    /// Run a command in a container; carries its three streams.
    Exec { namespace: String, pod: String, container: Option<String>, command: Vec<String>, terminal: bool },
    /// Change the number of replicas.
    Scale { which: Which, replicas: i32 },
    /// Replace all pods of a workload.
    Restart(Which),
    /// Set (`Some`) or remove labels or annotations.
    Label { which: Which, changes: Vec<(String, Option<String>)>, annotations: bool, overwrite: bool },
    /// A connection to a port of a pod, made inside the pod; the answer carries it.
    Dial { namespace: String, pod: String, port: u16 },
    /// End the mesh.
    Down,
}

/// Which lines a command wants to see, and how.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LogWish {
    /// Namespaces and names of pods.
    pub pods: Vec<(String, String)>,
    /// None: the one that is meant where none is said.
    pub container: Option<String>,
    /// All containers instead.
    pub all: bool,
    /// Go on with new lines.
    pub follow: bool,
    /// So many of the last lines of each container.
    pub tail: Option<usize>,
    /// Lines not older than so many seconds.
    pub since: Option<u64>,
    /// Each line with its time.
    pub timestamps: bool,
    /// Each line with its pod and container.
    pub prefix: bool,
}

/// Objects that a command means.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Which {
    /// Words for kinds, as the user says them.
    pub kinds: Vec<String>,
    /// None: all namespaces.
    pub namespace: Option<String>,
    /// None: all of the kind.
    pub names: Vec<String>,
    /// `app=reviews,version in (v1,v2)`.
    pub selector: Option<String>,
    /// Names that are not in the namespace may be in another one: nobody said which.
    pub elsewhere: bool,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// A line for standard output.
    Line(String),
    /// A line for standard error.
    Problem(String),
    /// Objects, or a value.
    Value(Value),
    /// A connection comes with this frame.
    Connection,
    /// The end; the exit code.
    Done(i32),
}

/// Sends one frame.
pub fn send<T: Serialize>(stream: &mut UnixStream, message: &T, fds: &[RawFd]) -> io::Result<()> {
    let body = serde_json::to_vec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_be_bytes();
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    let sent = sendmsg::<UnixAddr>(
        stream.as_raw_fd(),
        &[IoSlice::new(&length)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    stream.write_all(length.get(sent..).unwrap_or(&[]))?;
    stream.write_all(&body)
}

/// Receives one frame; `None` is the end.
#[allow(unsafe_code)] // Received descriptors become owned ones here.
pub fn receive<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0u8; 4];
    let mut fds = Vec::new();
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let got = loop {
        let mut slices = [IoSliceMut::new(&mut length)];
        match recvmsg::<UnixAddr>(
            stream.as_raw_fd(),
            &mut slices,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            Ok(message) => {
                for control in message.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(received) = control {
                        // SAFETY: the kernel has just installed these descriptors for us alone.
                        fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                    }
                }
                break message.bytes;
            }
            Err(nix::errno::Errno::EINTR) => {}
            Err(nix::errno::Errno::ECONNRESET) => break 0,
            Err(error) => return Err(error.into()),
        }
    };
    if got == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[got..])?;
    let length = u32::from_be_bytes(length);
    if length > LARGEST {
        return Err(io::Error::other("a frame is too large"));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&body).map_err(io::Error::other)?, fds)))
}
