//! `fetch`: the same request many times, the answers counted by status, body or a header. In: the command
//! line. Out: one line per kind of answer, most frequent first, or JSON. For tasks that split traffic.

use super::args::{Outcome, RequestArgs, url};
use crate::net::{CallError, Dialing, Link};
use bytes::Bytes;
use clap::Args;
use futures_util::future::join_all;
use http::Uri;
use http_body_util::BodyExt;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Flags of `fetch`.
#[derive(Args)]
pub struct FetchArgs {
    /// URL; http:// may be left out
    #[arg(value_parser = url)]
    url: Uri,
    #[command(flatten)]
    request: RequestArgs,
    /// Number of requests
    #[arg(short = 'n', long, default_value_t = 100)]
    number: u64,
    /// Requests at a time
    #[arg(short = 'p', long, default_value_t = 1)]
    parallel: u16,
    /// A new connection for every request
    #[arg(long)]
    no_keepalive: bool,
    /// What to count: `status`, `body`, `header:NAME`, or `text:A|B|…` (which of these the body holds)
    #[arg(long, default_value = "status")]
    by: By,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone)]
enum By {
    Status,
    Body,
    Header(String),
    Text(Vec<String>),
}

impl std::str::FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "status" => Ok(Self::Status),
            None if text == "body" => Ok(Self::Body),
            Some(("header", name)) => Ok(Self::Header(name.to_lowercase())),
            Some(("text", texts)) => Ok(Self::Text(texts.split('|').map(str::to_owned).collect())),
            _ => Err("expected status, body, header:NAME or text:A|B".to_owned()),
        }
    }
}

/// Fetches, counts, prints; ends with 1 if a request got no answer.
pub async fn run(args: FetchArgs) -> ExitCode {
    let (dialing, body) = match args.request.dialing().and_then(|d| Ok((d, args.request.body()?))) {
        Ok(ready) => ready,
        Err(cause) => return Outcome::refused(&format!("{cause:#}")),
    };
    let left = Cell::new(args.number);
    let counts = RefCell::new(BTreeMap::<String, u64>::new());
    let failed = Cell::new(false);
    let worker = || async {
        let mut link = None;
        while let Some(rest) = left.get().checked_sub(1) {
            left.set(rest);
            let kind = match one(&args, &dialing, body.clone(), &mut link).await {
                Ok(kind) => kind,
                Err(cause) => {
                    failed.set(true);
                    link = None;
                    format!("error: {cause}")
                }
            };
            *counts.borrow_mut().entry(kind).or_default() += 1;
        }
    };
    join_all((0..args.parallel.max(1)).map(|_| worker())).await;
    let counts = counts.into_inner();
    if args.json {
        println!("{}", serde_json::to_string(&counts).expect("strings and numbers serialise"));
    } else {
        let mut rows: Vec<_> = counts.iter().collect();
        rows.sort_by_key(|(kind, count)| (std::cmp::Reverse(**count), *kind));
        for (kind, count) in rows {
            println!("{count:>7}  {kind}");
        }
    }
    ExitCode::from(u8::from(failed.get()))
}

async fn one(
    args: &FetchArgs,
    dialing: &Dialing,
    body: Option<Bytes>,
    link: &mut Option<Link>,
) -> anyhow::Result<String> {
    let work = async {
        let request = args.request.request(&args.url, body)?;
        let mut open = match link.take().filter(Link::open) {
            Some(open) => open,
            None => dialing.connect(&args.url).await?,
        };
        let (head, body) = open.send(request).await?.into_parts();
        let body = body.collect().await.map_err(|cause| CallError::Recv(cause.to_string()))?.to_bytes();
        if !args.no_keepalive {
            *link = Some(open);
        }
        let text = String::from_utf8_lossy(&body);
        Ok(match &args.by {
            By::Status => head.status.as_u16().to_string(),
            By::Body => text.trim().to_owned(),
            By::Header(name) => {
                let value = head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
                value.map_or_else(|| "(none)".to_owned(), std::borrow::Cow::into_owned)
            }
            By::Text(texts) => {
                let found: Vec<&str> =
                    texts.iter().filter(|t| text.contains(t.as_str())).map(String::as_str).collect();
                if found.is_empty() { "(none)".to_owned() } else { found.join(" ") }
            }
        })
    };
    match args.request.limit() {
        None => work.await,
        Some(limit) => {
            tokio::time::timeout(limit, work).await.unwrap_or(Err(CallError::Timeout(limit).into()))
        }
    }
}
