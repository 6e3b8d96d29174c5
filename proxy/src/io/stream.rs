//! `Raw` (a socket or a test's pipe) inside `Wire` (bytes that sniffing already read come first) inside `Stream`
//! (plain or TLS). TLS is made over a `Wire`: `tokio_rustls` accepts and connects on it as on any socket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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

/// A raw stream with the bytes that were read from it before.
#[derive(Debug)]
pub struct Wire {
    base: Base,
    prefix: Bytes,
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
        Wire { base: Base::Direct(raw), prefix }
    }

    /// The socket, where bytes can go past this wire: a plain one, with nothing read ahead or held back.
    pub fn bare_tcp(&self) -> Option<&TcpStream> {
        match &self.base {
            Base::Direct(Raw::Tcp(tcp)) if self.prefix.is_empty() => Some(tcp),
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
            return Poll::Ready(Ok(()));
        }
        match &mut this.base {
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
