//! The address an intercepted client dialled.
//!
//! In: an accepted socket. Out: what the kernel remembers of the destination before redirection, or the socket's own
//! address where nothing was redirected (and under TPROXY, where that is the original one).

use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpStream;

/// The original destination of a connection whose own address is `local`.
pub(super) fn of(stream: &TcpStream, local: SocketAddr) -> SocketAddr {
    let socket = SockRef::from(stream);
    // A dual-stack socket holds IPv4 connections too: their answer comes from the IPv4 option.
    let original = match local.ip().to_canonical() {
        std::net::IpAddr::V4(_) => socket.original_dst_v4(),
        std::net::IpAddr::V6(_) => socket.original_dst_v6(),
    };
    original.ok().and_then(|address| address.as_socket()).unwrap_or(local)
}
