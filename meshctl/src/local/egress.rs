//! The way out: TCP from pods to the rest of the world.
//!
//! In: connections that the node's table turned to this listener. Out: a connection of the host to the address that
//! was meant, relayed both ways. What cannot be reached outside is reset inside. Started once per mesh.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};

use super::wall::Node;

/// Port of the listener on the node.
pub const PORT: u16 = 16001;
const PATIENCE: Duration = Duration::from_secs(10);
const BUFFER: usize = 64 << 10;

/// Starts to serve.
pub async fn start(node: &Node) -> Result<()> {
    let listener = node.listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT)).await?;
    tokio::spawn(serve(listener));
    if node.ipv6() {
        let listener = node.listen_v6_only(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT)).await?;
        tokio::spawn(serve(listener));
    }
    Ok(())
}

async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((inside, _)) => drop(tokio::spawn(relay_out(inside))),
            // Out of descriptors: some will be free again.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn relay_out(inside: TcpStream) {
    let Some(meant) = original(&inside) else { return reset(inside) };
    let outside = match tokio::time::timeout(PATIENCE, TcpStream::connect(meant)).await {
        Ok(Ok(outside)) => outside,
        Ok(Err(_)) | Err(_) => return reset(inside),
    };
    relay(inside, outside).await;
}

/// Passes bytes both ways until both sides have ended.
pub async fn relay(mut a: TcpStream, mut b: TcpStream) {
    // Only latency is lost where these are refused, and an error of one side ends both.
    a.set_nodelay(true).ok();
    b.set_nodelay(true).ok();
    tokio::io::copy_bidirectional_with_sizes(&mut a, &mut b, BUFFER, BUFFER).await.ok();
}

fn original(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = socket2::SockRef::from(stream);
    let local = stream.local_addr().ok()?;
    let meant = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    // A connection straight to this port meant nothing else.
    meant.ok()?.as_socket().filter(|meant| *meant != local)
}

fn reset(stream: TcpStream) {
    stream.set_zero_linger().ok();
}
