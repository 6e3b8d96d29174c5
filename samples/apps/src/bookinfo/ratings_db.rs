//! The database of ratings v2: plain TCP, one line `ratings`, one line of JSON back. It stands where MongoDB
//! stands in the documented tasks, for their TCP traffic; it does not speak MongoDB's protocol. The stars are
//! those of RATING_1 and RATING_2 (default 5 and 4). `ask` is the client side, used by ratings.

use crate::net::{Listen, ended};
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Flags of `ratings-db`.
#[derive(Args)]
pub struct RatingsDbArgs {
    /// TCP port to listen on
    #[arg(default_value_t = 27017)]
    port: u16,
    #[command(flatten)]
    listen: Listen,
}

/// Host and port of `mongodb://HOST:PORT/NAME`.
pub fn authority(url: &str) -> anyhow::Result<&str> {
    let rest = url
        .strip_prefix("mongodb://")
        .with_context(|| format!("MONGO_DB_URL is '{url}', expected mongodb://HOST:PORT/NAME"))?;
    Ok(rest.split('/').next().unwrap_or(rest))
}

/// The stars, from the database at `authority`.
pub async fn ask(authority: &str) -> anyhow::Result<Value> {
    let work = async {
        let mut stream = TcpStream::connect(authority).await.context("connect")?;
        stream.write_all(b"ratings\n").await.context("ask")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.context("read")?;
        serde_json::from_str(&line).context("not an answer of ratings-db")
    };
    tokio::time::timeout(Duration::from_secs(5), work).await.context("no answer within 5 s")?
}

/// Serves `stars` on `listener`, for ever.
pub async fn serve(listener: TcpListener, stars: [u8; 2]) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                println!("{} {line:?}", peer.ip().to_canonical());
                let answer = match line.trim() {
                    "ratings" => json!({"Reviewer1": stars[0], "Reviewer2": stars[1]}),
                    _ => json!({"error": "the only question is: ratings"}),
                };
                if write.write_all(format!("{answer}\n").as_bytes()).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Serves until the process is asked to end.
pub async fn run(args: RatingsDbArgs) -> anyhow::Result<()> {
    let star = |key: &str, default| std::env::var(key).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let listener = args.listen.on(args.port).await?;
    tokio::select! {
        () = serve(listener, [star("RATING_1", 5), star("RATING_2", 4)]) => {}
        () = ended() => {}
    }
    Ok(())
}
