//! `tcp`: sends lines to a TCP server and prints what comes back; named `nc` it is enough of netcat for the
//! documented tasks. In: host, port and lines, or standard input. Out: the replies. With lines given each waits
//! for one reply line; with standard input everything is copied both ways until the server ends.

use crate::net::duration;
use clap::Args;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Flags of `tcp`.
#[derive(Args)]
pub struct TcpArgs {
    /// Host
    host: String,
    /// Port
    port: u16,
    /// Lines to send [default: standard input]
    lines: Vec<String>,
    /// Number of connections, one after the other, each with all lines
    #[arg(short = 'n', long, default_value_t = 1)]
    number: u32,
    /// Print how often each reply came instead of the replies
    #[arg(long)]
    count: bool,
    /// Longest wait for the connection and for each reply
    #[arg(short = 'w', long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    timeout: Duration,
    /// Say that it is connected
    #[arg(short, long)]
    verbose: bool,
    /// Connect, send nothing, end
    #[arg(short = 'z')]
    zero: bool,
}

/// Runs; ends with 1 if a connection or a reply failed.
pub async fn run(args: TcpArgs) -> ExitCode {
    let mut counts = BTreeMap::<String, u32>::new();
    let mut code = 0;
    for _ in 0..args.number {
        if let Err(cause) = one(&args, &mut counts).await {
            eprintln!("tcp: {}:{}: {cause}", args.host, args.port);
            if args.count {
                *counts.entry(format!("error: {cause}")).or_default() += 1;
            }
            code = 1;
        }
    }
    for (reply, count) in counts {
        println!("{count:>7}  {reply}");
    }
    ExitCode::from(code)
}

async fn one(args: &TcpArgs, counts: &mut BTreeMap<String, u32>) -> std::io::Result<()> {
    let stream = timeout(args.timeout, TcpStream::connect((args.host.as_str(), args.port))).await??;
    if args.verbose {
        eprintln!("Connection to {} {} port [tcp/*] succeeded!", args.host, args.port);
    }
    if args.zero {
        return Ok(());
    }
    let (read, mut write) = stream.into_split();
    if args.lines.is_empty() {
        let sending = async {
            tokio::io::copy(&mut tokio::io::stdin(), &mut write).await?;
            write.shutdown().await
        };
        let receiving = async {
            let mut read = read;
            tokio::io::copy(&mut read, &mut tokio::io::stdout()).await
        };
        tokio::pin!(sending, receiving);
        // Whichever side ends: what the server still says after our end is waited for, not the other way round.
        return tokio::select! {
            got = &mut receiving => got.map(drop),
            sent = &mut sending => {
                sent?;
                timeout(args.timeout, receiving).await?.map(drop)
            }
        };
    }
    let mut replies = BufReader::new(read).lines();
    for line in &args.lines {
        write.write_all(format!("{line}\n").as_bytes()).await?;
        let reply = timeout(args.timeout, replies.next_line()).await??;
        let reply = reply.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        if args.count {
            *counts.entry(reply).or_default() += 1;
        } else {
            println!("{reply}");
        }
    }
    write.shutdown().await
}
