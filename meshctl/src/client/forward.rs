//! A local listener that leads to a port of a pod.
//!
//! In: connections of a listener. Out: the same bytes on a connection that is made inside the pod, each with its own.
//! Runs in one task until it is dropped; what a connection fails of is told on standard error, and the others go on.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};

use super::mesh::Mesh;
use super::pod::Pod;

/// Forwards until the listener fails.
///
/// # Errors
/// Nothing can be accepted any more.
pub async fn forward(mesh: &Mesh, listener: &TcpListener, pod: &Pod, port: u16) -> Result<()> {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => open.push(one(mesh, accepted?.0, pod, port)),
            Some(ended) = open.next() => {
                if let Err(error) = ended {
                    anstream::eprintln!("Error: {error:#}");
                }
            }
        }
    }
}

async fn one(mesh: &Mesh, mut outside: TcpStream, pod: &Pod, port: u16) -> Result<()> {
    let mut inside = mesh.dial(pod, port).await?;
    let copied = tokio::io::copy_bidirectional(&mut outside, &mut inside.stream).await;
    // A page that was closed in the middle is nobody's mistake; a port that nobody listens on is.
    drop(inside.stream);
    match tokio::time::timeout(std::time::Duration::from_millis(100), inside.problem).await {
        Ok(Some(reason)) => {
            Err(anyhow::anyhow!("{}", reason.trim())).context(format!("port {port} of pod {}", pod.full()))
        }
        _ => copied.map(drop).or(Ok(())),
    }
}
