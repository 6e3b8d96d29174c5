//! TCP echo: every line that comes in goes out again with a word and a blank in front. In: ports and the word,
//! as the documented image takes them (`9000,9001,9002 one`). Used by the tcp-traffic-shifting and
//! TCP authorization tasks. A connection ends when the client ends its half.

use crate::net::{Listen, ended};
use anyhow::Context;
use clap::Args;
use futures_util::future::join_all;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Longest line; a longer one ends the connection.
const LINE: usize = 64 * 1024;

/// Flags of `tcp-echo`.
#[derive(Args)]
pub struct TcpEchoArgs {
    /// TCP ports to listen on, with commas between
    #[arg(default_value = "9000,9001,9002")]
    ports: Ports,
    /// Word in front of every line
    #[arg(default_value = "hello")]
    word: String,
    #[command(flatten)]
    listen: Listen,
}

#[derive(Clone)]
struct Ports(Vec<u16>);

impl std::str::FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |part: &str| part.trim().parse().map_err(|_| format!("'{part}' is not a port"));
        text.split(',').map(port).collect::<Result<_, _>>().map(Self)
    }
}

/// Serves `listener`, for ever.
pub async fn serve(listener: TcpListener, word: Arc<str>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else { continue };
        let word = word.clone();
        println!("{} connected to {}", peer.ip().to_canonical(), port(&stream));
        tokio::spawn(async move {
            if let Err(cause) = echo(stream, &word).await {
                println!("{} {cause}", peer.ip().to_canonical());
            }
        });
    }
}

async fn echo(stream: TcpStream, word: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        line.extend_from_slice(word.as_bytes());
        line.push(b' ');
        let mut limited = tokio::io::AsyncReadExt::take(&mut read, LINE as u64);
        let got = limited.read_until(b'\n', &mut line).await?;
        if got == 0 {
            return write.shutdown().await;
        }
        write.write_all(&line).await?;
        if line.last() != Some(&b'\n') {
            return write.shutdown().await;
        }
    }
}

fn port(stream: &TcpStream) -> u16 {
    stream.local_addr().map_or(0, |address| address.port())
}

/// Serves all ports until the process is asked to end.
pub async fn run(args: TcpEchoArgs) -> anyhow::Result<()> {
    let word: Arc<str> = args.word.into();
    let mut servers = Vec::new();
    for port in args.listen.port.map_or(args.ports.0, |port| vec![port]) {
        let listener = args.listen.on(port).await.context("tcp-echo")?;
        servers.push(serve(listener, word.clone()));
    }
    tokio::select! {
        _ = join_all(servers) => {}
        () = ended() => {}
    }
    Ok(())
}
