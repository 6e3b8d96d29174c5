//! Questions that are not ours: to the pod's resolvers.
//!
//! In: a question as it came. Out: the answer as it came, or nothing within the time. UDP questions go over UDP, TCP
//! questions over TCP, so that a truncated answer reaches the client as such. Sockets carry the mark.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};

/// Largest UDP answer.
const MAX_UDP: usize = 65_535;

/// Asks one resolver over UDP.
pub(super) async fn udp(resolver: SocketAddr, mark: Option<u32>, question: &[u8]) -> io::Result<Vec<u8>> {
    let socket = Socket::new(Domain::for_address(resolver), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    socket.set_nonblocking(true)?;
    let any = if resolver.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    socket.bind(&SocketAddr::new(any, 0).into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut answer = vec![0; MAX_UDP];
    loop {
        let length = socket.recv(&mut answer).await?;
        // An answer to somebody else's question (or a forged one) has another id.
        if answer.get(..2) == question.get(..2) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

/// Asks one resolver over TCP.
pub(super) async fn tcp(resolver: SocketAddr, mark: Option<u32>, question: &[u8]) -> io::Result<Vec<u8>> {
    let socket = Socket::new(Domain::for_address(resolver), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    socket.set_nonblocking(true)?;
    let mut stream = TcpSocket::from_std_stream(socket.into()).connect(resolver).await?;
    let length = u16::try_from(question.len()).map_err(|_| io::Error::other("question too long"))?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
