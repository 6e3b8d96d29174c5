//! Packets with descriptors over a Unix socket, as blocking calls.
//!
//! In: bytes and descriptors. Out: the same at the other end, whole or not at all (seqpacket).
//! The helper uses it as it is; `client` waits for readiness first. Descriptors arrive close-on-exec.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest packet: a process with a very large environment.
const PACKET: usize = 1 << 18;
const MAX_FDS: usize = 4;

/// A connected pair of packet sockets.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (a, b) = nix::sys::socket::socketpair(
        nix::sys::socket::AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        flags,
    )?;
    for fd in [&a, &b] {
        // A larger buffer than the default is a comfort for large packets, not a need.
        setsockopt(fd, sockopt::SndBuf, &(PACKET * 2)).ok();
    }
    Ok((a, b))
}

/// Sends one message.
pub(super) fn send<T: Serialize>(socket: BorrowedFd<'_>, message: &T, fds: &[RawFd]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    if bytes.len() > PACKET {
        return Err(io::Error::other(format!(
            "a message of {} bytes passes the limit of {PACKET}",
            bytes.len()
        )));
    }
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    loop {
        match sendmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &[IoSlice::new(&bytes)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives one message; `None` is the end of the other side.
#[allow(unsafe_code)] // Received descriptors become owned ones here.
pub(super) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0u8; PACKET];
    let mut space = nix::cmsg_space!([RawFd; MAX_FDS]);
    let mut fds = Vec::new();
    let length = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match recvmsg::<UnixAddr>(
            socket.as_raw_fd(),
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
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => break 0,
            Err(error) => return Err(error.into()),
        }
    };
    if length == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&bytes[..length]).map_err(io::Error::other)?;
    Ok(Some((message, fds)))
}
