//! Accepting: one task per listening socket, none of which serves anything.
//!
//! In: a listening socket. Out: connections handed to the workers. The new descriptor is not registered with this
//! thread's runtime, so that the worker's runtime may own it. Ends when its stop signal comes; the socket closes
//! with it. Runs out of descriptors without spinning.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::place::Places;

/// How long to wait where nothing can be accepted although somebody asks.
const BREATH: Duration = Duration::from_millis(50);

/// Accepts until `stop` resolves. `name` is the listener that owns the socket now; it may change under way.
pub(super) async fn run(
    socket: Socket,
    name: Arc<Mutex<Arc<str>>>,
    places: Arc<Places>,
    mut stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    // Sound here: the socket owns its descriptor and is owned by the `AsyncFd`. Its successor needs unsafe code.
    #[allow(deprecated)]
    let socket = AsyncFd::new(socket)?;
    loop {
        let mut ready = tokio::select! {
            ready = socket.readable() => ready?,
            _ = &mut stop => return Ok(()),
        };
        if places.is_paused() {
            tokio::select! {
                () = tokio::time::sleep(BREATH) => continue,
                _ = &mut stop => return Ok(()),
            }
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match ready.try_io(|socket| acceptfrom_with(socket.get_ref(), flags).map_err(io::Error::from)) {
            Ok(Ok((accepted, Some(peer)))) => hand_over(accepted, peer, &name, &places),
            Ok(Ok((_, None))) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Ok(Err(error)) => {
                // Out of descriptors, most likely: breathe, or this loop eats a core.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(BREATH).await;
            }
            Err(_would_block) => {}
        }
    }
}

/// `TCP_NODELAY` is the listening socket's, which its connections inherit.
fn hand_over(accepted: OwnedFd, peer: SocketAddrAny, name: &Mutex<Arc<str>>, places: &Places) {
    let socket = std::net::TcpStream::from(accepted);
    match (socket.local_addr(), SocketAddr::try_from(peer)) {
        (Ok(local), Ok(peer)) => {
            let listener = name.lock().clone();
            if !places.place(socket, listener, peer, local) {
                tracing::debug!(%peer, "a connection came when no worker took any");
            }
        }
        (Err(error), _) => tracing::debug!(%error, "a connection was gone before it was accepted"),
        _ => {}
    }
}
