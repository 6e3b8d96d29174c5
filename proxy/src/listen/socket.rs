//! Listening sockets.
//!
//! In: an address. Out: a bound, listening, non-blocking socket. Called by `reconcile` and by the program's own
//! ports. SO_REUSEADDR is set so that a restart does not wait for old connections; an IPv6 socket takes IPv6 alone,
//! since dual-stack listeners name both addresses.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Binds and listens.
pub(super) fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// The same as a tokio listener, for the program's own ports.
pub fn tokio_listener(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listen(address)?.into())
}
