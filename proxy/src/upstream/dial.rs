//! Dialling: an address and socket options in, a stream out. The only place of the data path that opens sockets
//! towards upstreams. `TcpDialer` is the real one; tests give their own over memory.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpSocket, UnixStream};

use crate::config::{BindSource, Borrowed, EndpointAddress, Keepalive};
use crate::io::Raw;

/// What is dialled and how.
#[derive(Debug, Clone)]
pub struct DialPlan {
    pub address: EndpointAddress,
    /// Source address (`upstream_bind_config`), 127.0.0.6 and ::6 for the inbound side.
    pub bind: BindSource,
    /// The client's address, instead.
    pub borrowed: Option<Borrowed>,
    pub keepalive: Option<Keepalive>,
}

/// The future of a dial.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<Raw>> + 'a>>;

/// Opens connections. The caller limits the time.
pub trait Dialer {
    fn dial<'a>(&'a self, plan: &'a DialPlan) -> Dialing<'a>;
}

/// Real sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpDialer {
    /// `SO_MARK` of every upstream socket: exempts our own traffic from interception. Istio's proxies use 1337.
    pub mark: Option<u32>,
}

impl Dialer for TcpDialer {
    fn dial<'a>(&'a self, plan: &'a DialPlan) -> Dialing<'a> {
        Box::pin(async move {
            Ok(match &plan.address {
                EndpointAddress::Ip(address) => Raw::Tcp(self.connect(*address, plan)?.await?),
                EndpointAddress::Pipe(path) => Raw::Unix(UnixStream::connect(&**path).await?),
            })
        })
    }
}

impl TcpDialer {
    /// A connection to an address. Unlike `dial` it may be awaited on any thread.
    pub(crate) fn connect(
        self,
        address: SocketAddr,
        plan: &DialPlan,
    ) -> io::Result<impl Future<Output = io::Result<tokio::net::TcpStream>> + use<>> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match plan.borrowed.filter(|borrowed| borrowed.address.is_ipv4() == address.is_ipv4()) {
            Some(borrowed) => borrow(&socket, borrowed)?,
            None => {
                if let Some(mark) = self.mark {
                    socket.set_mark(mark)?;
                }
                if let Some(bind) = plan.bind.toward(address.ip()) {
                    socket.bind(&SocketAddr::new(bind, 0).into())?;
                }
            }
        }
        if let Some(keepalive) = &plan.keepalive {
            socket.set_tcp_keepalive(&tcp_keepalive(keepalive))?;
        }
        SockRef::from(&socket).set_tcp_nodelay(true)?;
        let socket = TcpSocket::from_std_stream(socket.into());
        Ok(async move { socket.connect(address).await })
    }
}

/// Lets a socket call in another's name. Needs `CAP_NET_ADMIN`, which a proxy in transparent mode has.
fn borrow(socket: &Socket, borrowed: Borrowed) -> io::Result<()> {
    match borrowed.address {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    if borrowed.mark != 0 {
        socket.set_mark(borrowed.mark)?;
    }
    socket.bind(&SocketAddr::new(borrowed.address, 0).into())
}

fn tcp_keepalive(settings: &Keepalive) -> TcpKeepalive {
    let mut keepalive = TcpKeepalive::new();
    if let Some(idle) = settings.idle {
        keepalive = keepalive.with_time(idle.max(Duration::from_secs(1)));
    }
    if let Some(interval) = settings.interval {
        keepalive = keepalive.with_interval(interval.max(Duration::from_secs(1)));
    }
    if let Some(probes) = settings.probes {
        keepalive = keepalive.with_retries(probes);
    }
    keepalive
}
