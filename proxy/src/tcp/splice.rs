//! Moving bytes between two sockets inside the kernel, by splice(2) through a pipe. Only for directions that turned
//! out to be busy: for small messages it costs as many calls as a copy, and each pipe costs two descriptors.
#![allow(unsafe_code)] // pipe2 and splice have no safe wrapper among our dependencies.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::task::{Context, Poll, ready};

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
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for the two descriptors that the call writes.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so both are open and nobody else owns them.
        let (reading, writing) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: plain arguments. A smaller pipe than wished works too, so the result does not matter.
        unsafe { libc::fcntl(writing.as_raw_fd(), libc::F_SETPIPE_SZ, CHUNK) };
        Ok(Pipe { reading, writing, held: 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Fills the empty pipe from a socket; 0: the socket ended.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        let (source, target) = (from.as_raw_fd(), self.writing.as_raw_fd());
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || splice(source, target, CHUNK)) {
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
        let (source, target) = (self.reading.as_raw_fd(), to.as_raw_fd());
        while self.held > 0 {
            ready!(to.poll_write_ready(cx))?;
            let held = self.held;
            match to.try_io(Interest::WRITABLE, || splice(source, target, held)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => self.held -= n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn splice(from: i32, to: i32, size: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: both descriptors are open for the length of the call; null offsets mean their own positions.
    let n = unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), size, flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}
