//! Listening sockets.
//!
//! In: an address. Out: a bound, listening, non-blocking socket. Called by `reconcile` and by the program's own
//! ports. SO_REUSEADDR is set so that a restart does not wait for old connections; an IPv6 socket takes IPv6 alone,
//! since dual-stack listeners name both addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use socket2::{Domain, Protocol, Socket, Type};

/// The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Pods that share the host's network have a loopback address each; one process is one pod.
static OWN: OnceLock<Ipv4Addr> = OnceLock::new();

/// Says the address of this pod. If it is a loopback address other than 127.0.0.1, it stands for all addresses and
/// for 127.0.0.1 from here on, so that pods without a network namespace do not take each other's ports.
pub fn live_at(address: &str) {
    if let Ok(own) = address.parse::<Ipv4Addr>()
        && own.is_loopback()
        && own != Ipv4Addr::LOCALHOST
    {
        // Said once, at the start.
        OWN.set(own).ok();
    }
}

/// Where an address is in this pod.
pub fn placed(address: SocketAddr) -> io::Result<SocketAddr> {
    match (OWN.get(), address.ip()) {
        (Some(own), IpAddr::V4(Ipv4Addr::UNSPECIFIED | Ipv4Addr::LOCALHOST)) => {
            Ok(SocketAddr::new(IpAddr::V4(*own), address.port()))
        }
        (Some(_), IpAddr::V6(_)) => Err(io::ErrorKind::AddrNotAvailable.into()),
        _ => Ok(address),
    }
}

/// Binds and listens; `transparent`: also for connections to other addresses that are sent here.
pub(super) fn listen(address: SocketAddr, transparent: bool) -> io::Result<Socket> {
    let address = placed(address)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if transparent {
        let set =
            if address.is_ipv6() { Socket::set_ip_transparent_v6 } else { Socket::set_ip_transparent_v4 };
        set(&socket, true).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("a transparent socket needs the capability NET_ADMIN: {error}"),
            )
        })?;
    }
    socket.set_reuse_address(true)?;
    // Its connections inherit this.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// The same as a tokio listener, for the program's own ports.
pub fn tokio_listener(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listen(address, false)?.into())
}
