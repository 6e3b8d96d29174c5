//! `Raw` (a socket or a test's pipe) inside `Wire` (bytes that sniffing already read come first) inside `Stream`
//! (plain or TLS). TLS is made over a `Wire`: `tokio_rustls` accepts and connects on it as on any socket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::coalesce::{Flusher, Gathered};

/// The lowest layer.
#[derive(Debug)]
pub enum Raw {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Tests only: both ends in this process.
    Memory(DuplexStream),
}

/// A reader that takes no more than this at a time is read ahead for where a lot comes: TLS takes 4 KiB.
const SMALL: usize = 8 * 1024;
/// So many reads in a row that leave no room mean that a lot comes.
const FULL_READS: u8 = 4;
/// Bytes read ahead at once. Less than an eighth of it means that the flood is over.
const AHEAD: usize = 64 * 1024;

/// A raw stream with the bytes that were read from it before.
#[derive(Debug)]
pub struct Wire {
    base: Base,
    prefix: Bytes,
    /// Only while a lot comes for a reader that takes little.
    ahead: Option<Box<Ahead>>,
    /// Reads in a row that left no room.
    full: u8,
}

/// What was read ahead of a reader.
#[derive(Debug)]
struct Ahead {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Ahead {
    fn new() -> Box<Self> {
        Box::new(Ahead { bytes: vec![0; AHEAD].into(), from: 0, to: 0 })
    }

    /// Gives what fits; true where nothing is left.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let part = &self.bytes[self.from..self.to];
        let n = part.len().min(buf.remaining());
        buf.put_slice(&part[..n]);
        self.from += n;
        self.from == self.to
    }
}

#[derive(Debug)]
enum Base {
    Direct(Raw),
    Gathered(Gathered),
    /// Only while one becomes the other.
    Moving,
}

/// What HTTP and TCP serve on.
#[derive(Debug)]
pub enum Stream {
    Plain(Wire),
    Server(Box<tokio_rustls::server::TlsStream<Wire>>),
    Client(Box<tokio_rustls::client::TlsStream<Wire>>),
}

impl Wire {
    /// A wire of which nothing was read.
    pub fn new(raw: Raw) -> Self {
        Wire::with_prefix(raw, Bytes::new())
    }

    /// A wire whose first bytes are `prefix`, already taken from the socket.
    pub fn with_prefix(raw: Raw, prefix: Bytes) -> Self {
        Wire { base: Base::Direct(raw), prefix, ahead: None, full: 0 }
    }

    /// The socket, where bytes can go past this wire: a plain one, with nothing read ahead or held back.
    pub fn bare_tcp(&self) -> Option<&TcpStream> {
        match &self.base {
            Base::Direct(Raw::Tcp(tcp)) if self.prefix.is_empty() && self.ahead.is_none() => Some(tcp),
            _ => None,
        }
    }

    /// From now on writes are gathered over each turn of the worker's loop.
    fn gather(&mut self, flusher: &Rc<Flusher>) {
        self.base = match std::mem::replace(&mut self.base, Base::Moving) {
            Base::Direct(raw) => Base::Gathered(Gathered::new(raw, flusher.clone())),
            other => other,
        };
    }
}

impl Wire {
    fn progress(&self) -> (u64, u64) {
        match &self.base {
            Base::Gathered(gathered) => gathered.progress(),
            Base::Direct(_) | Base::Moving => (0, 0),
        }
    }
}

impl Raw {
    /// Our address, where there is one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Raw::Tcp(tcp) => tcp.local_addr().ok(),
            Raw::Unix(_) | Raw::Memory(_) => None,
        }
    }
}

impl Stream {
    /// A plain TCP connection.
    pub fn tcp(tcp: TcpStream) -> Self {
        Stream::Plain(Wire::new(Raw::Tcp(tcp)))
    }

    /// Neither bytes nor a socket: what stays where a stream was taken away.
    pub(super) fn nothing() -> Self {
        Stream::Plain(Wire { base: Base::Moving, prefix: Bytes::new(), ahead: None, full: 0 })
    }

    /// Bytes below TLS that were written while writes are gathered, and how many of them the socket took.
    pub fn progress(&self) -> (u64, u64) {
        match self {
            Stream::Plain(wire) => wire.progress(),
            Stream::Server(tls) => tls.get_ref().0.progress(),
            Stream::Client(tls) => tls.get_ref().0.progress(),
        }
    }

    /// From now on writes are gathered over each turn of the worker's loop, below TLS: for HTTP/2.
    pub fn gather(&mut self, flusher: &Rc<Flusher>) {
        match self {
            Stream::Plain(wire) => wire.gather(flusher),
            Stream::Server(tls) => tls.get_mut().0.gather(flusher),
            Stream::Client(tls) => tls.get_mut().0.gather(flusher),
        }
    }
}

/// Reads and writes through whichever variant it is.
macro_rules! pass_through {
    ($name:ident { $($variant:ident),+ }) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($name::$variant(inner) => Pin::new(inner).poll_read(cx, buf),)+
                }
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($name::$variant(inner) => Pin::new(inner).poll_write(cx, buf),)+
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($name::$variant(inner) => Pin::new(inner).poll_write_vectored(cx, bufs),)+
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $($name::$variant(inner) => inner.is_write_vectored(),)+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($name::$variant(inner) => Pin::new(inner).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($name::$variant(inner) => Pin::new(inner).poll_shutdown(cx),)+
                }
            }
        }
    };
}

pass_through!(Raw { Tcp, Unix, Memory });
pass_through!(Stream { Plain, Server, Client });

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.prefix.is_empty() {
            let n = this.prefix.len().min(buf.remaining());
            buf.put_slice(&this.prefix[..n]);
            this.prefix.advance(n);
            if this.prefix.is_empty() {
                // Empty, but still holding what was read before the connection was served.
                this.prefix = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let room = buf.remaining();
        if this.ahead.is_none() && (this.full < FULL_READS || room > SMALL) {
            ready!(this.base.poll_read(cx, buf))?;
            this.full = if buf.remaining() == 0 && room <= SMALL { this.full.saturating_add(1) } else { 0 };
            return Poll::Ready(Ok(()));
        }
        let ahead = this.ahead.get_or_insert_with(Ahead::new);
        if ahead.from == ahead.to {
            let mut read = ReadBuf::new(&mut ahead.bytes);
            ready!(this.base.poll_read(cx, &mut read))?;
            (ahead.from, ahead.to) = (0, read.filled().len());
        }
        let few = ahead.to < AHEAD / 8;
        if ahead.give(buf) && few {
            (this.ahead, this.full) = (None, 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl Base {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Base::Direct(raw) => Pin::new(raw).poll_read(cx, buf),
            Base::Gathered(gathered) => gathered.poll_read(cx, buf),
            Base::Moving => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().base {
            Base::Direct(raw) => Pin::new(raw).poll_write(cx, buf),
            Base::Gathered(gathered) => gathered.poll_write(cx, &[io::IoSlice::new(buf)]),
            Base::Moving => Poll::Ready(Ok(0)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().base {
            Base::Direct(raw) => Pin::new(raw).poll_write_vectored(cx, bufs),
            Base::Gathered(gathered) => gathered.poll_write(cx, bufs),
            Base::Moving => Poll::Ready(Ok(0)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.base {
            Base::Direct(raw) => raw.is_write_vectored(),
            Base::Gathered(_) | Base::Moving => true,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().base {
            Base::Direct(raw) => Pin::new(raw).poll_flush(cx),
            Base::Gathered(gathered) => gathered.poll_flush(),
            Base::Moving => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().base {
            Base::Direct(raw) => Pin::new(raw).poll_shutdown(cx),
            Base::Gathered(gathered) => gathered.poll_shutdown(cx),
            Base::Moving => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_flood_is_read_ahead_and_nothing_is_lost() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut wire = Wire::new(Raw::Memory(near));
        let sent: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        far.write_all(&sent).await.unwrap();
        far.shutdown().await.unwrap();
        let (mut got, mut most) = (Vec::new(), 0);
        let mut small = [0; 4096];
        loop {
            let n = wire.read(&mut small).await.unwrap();
            got.extend_from_slice(&small[..n]);
            most = most.max(wire.ahead.as_ref().map_or(0, |ahead| ahead.to));
            if n == 0 {
                break;
            }
        }
        assert!(got == sent, "{} of {} bytes, or other ones", got.len(), sent.len());
        assert_eq!(most, AHEAD, "it was read ahead");
        assert!(wire.ahead.is_none(), "and given back at the end");
    }

    #[tokio::test]
    async fn who_asks_little_holds_no_buffer() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut wire = Wire::new(Raw::Memory(near));
        for _ in 0..20 {
            far.write_all(&[7; 1000]).await.unwrap();
            let mut small = [0; 4096];
            assert_eq!(wire.read(&mut small).await.unwrap(), 1000);
            assert!(wire.ahead.is_none());
        }
    }
}
