//! Moving bytes between two sockets inside the kernel, by splice(2) through a pipe. Only for directions that turned
//! out to be busy: for small messages it costs as many calls as a copy, and each pipe costs two descriptors.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What one call may move; Linux pipes hold 64 KiB unless they are enlarged.
const CHUNK: usize = 1 << 20;

/// A pipe, and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    reading: OwnedFd,
    writing: OwnedFd,
    held: usize,
}

impl Pipe {
    pub(super) fn new() -> io::Result<Self> {
        let (reading, writing) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // A smaller pipe than wished works too.
        fcntl_setpipe_size(&writing, CHUNK).ok();
        Ok(Pipe { reading, writing, held: 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Fills the empty pipe from a socket; 0: the socket ended.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || splice(from, &self.writing, CHUNK)) {
                Ok(n) => {
                    self.held += n;
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Empties the pipe into a socket.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<()>> {
        while self.held > 0 {
            ready!(to.poll_write_ready(cx))?;
            let held = self.held;
            match to.try_io(Interest::WRITABLE, || splice(&self.reading, to, held)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => self.held -= n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn splice(from: impl AsFd, to: impl AsFd, size: usize) -> io::Result<usize> {
    // No offsets: both are streams.
    Ok(rustix::pipe::splice(from, None, to, None, size, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}
