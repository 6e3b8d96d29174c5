//! `load`: puts load on a URL and measures. In: the command line. Out: a line of progress every second on
//! standard error, then a report: rate, statuses, errors by kind, latencies. With `--qps` a request's latency
//! counts from when it was due, so that a slow server does not hide behind the requests it delayed.
//! It ends after `--number`, `--duration`, or when the process is asked to.

use super::args::{Outcome, RequestArgs, url};
use super::histogram::Histogram;
use super::pacer::Pacer;
use crate::net::{CallError, Dialing, Link, duration, ended};
use bytes::Bytes;
use clap::Args;
use futures_util::future::join_all;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Flags of `load`.
#[derive(Args)]
pub struct LoadArgs {
    /// URL; http:// may be left out
    #[arg(value_parser = url)]
    url: Uri,
    #[command(flatten)]
    request: RequestArgs,
    /// Requests at a time, each over a connection of its own
    #[arg(short, long, default_value_t = 8)]
    concurrency: u16,
    /// Requests per second, all together; 0 as fast as answers come
    #[arg(short, long, default_value_t = 0.0)]
    qps: f64,
    /// Number of requests; 0 as many as fit into the duration
    #[arg(short, long, default_value_t = 0)]
    number: u64,
    /// How long; 0 for ever [default: 10s, for ever with --number]
    #[arg(short = 't', long, value_parser = duration)]
    duration: Option<Duration>,
    /// A new connection for every request
    #[arg(long)]
    no_keepalive: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Seconds between lines of progress; 0 for none
    #[arg(long, default_value_t = 1)]
    progress: u64,
    /// End with 1 if a request failed or its status was 400 or more
    #[arg(short, long)]
    fail: bool,
}

#[derive(Default)]
struct Stats {
    all: Histogram,
    recent: Histogram,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<&'static str, u64>,
    bytes: u64,
    connections: u64,
}

impl Stats {
    fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

struct Run<'a> {
    args: &'a LoadArgs,
    dialing: Dialing,
    template: Request<Full<Bytes>>,
    pacer: Pacer,
    started: Instant,
    until: Option<Instant>,
    taken: Cell<u64>,
    stats: RefCell<Stats>,
}

/// Runs to the end of the load.
pub async fn run(args: LoadArgs) -> ExitCode {
    let prepared = args.request.dialing().and_then(|dialing| {
        let body = args.request.body()?;
        Ok((dialing, args.request.request(&args.url, body)?))
    });
    let (dialing, template) = match prepared {
        Ok(ready) => ready,
        Err(cause) => return Outcome::refused(&format!("{cause:#}")),
    };
    let pacer = match Pacer::start() {
        Ok(pacer) => pacer,
        Err(cause) => return Outcome::refused(&format!("no thread for the clock: {cause}")),
    };
    let started = Instant::now();
    let default = if args.number > 0 { Duration::ZERO } else { Duration::from_secs(10) };
    let length = args.duration.unwrap_or(default);
    let until = (!length.is_zero()).then(|| started + length);
    let (taken, stats) = (Cell::new(0), RefCell::default());
    let run = Run { args: &args, dialing, template, pacer, started, until, taken, stats };
    tokio::select! {
        _ = join_all((0..args.concurrency.max(1)).map(|_| run.worker())) => {}
        () = run.progress() => {}
        () = ended() => {}
    }
    let seconds = started.elapsed().as_secs_f64();
    if std::io::stderr().is_terminal() && args.progress > 0 {
        eprintln!();
    }
    let stats = run.stats.into_inner();
    let report = report(&stats, seconds);
    if args.json {
        println!("{report}");
    } else {
        print(&stats, &report);
    }
    let bad = stats.failed() > 0 || stats.statuses.keys().any(|status| *status >= 400);
    ExitCode::from(u8::from(stats.all.count() == 0 || (args.fail && bad)))
}

impl Run<'_> {
    /// When the next request is due; none when there is no next.
    fn take(&self) -> Option<Instant> {
        let number = self.taken.get();
        if self.args.number > 0 && number >= self.args.number {
            return None;
        }
        let now = Instant::now();
        #[expect(clippy::cast_precision_loss)]
        let due = match self.args.qps {
            qps if qps > 0.0 => self.started + Duration::from_secs_f64(number as f64 / qps),
            _ => now,
        };
        if self.until.is_some_and(|until| due.max(now) >= until) {
            return None;
        }
        self.taken.set(number + 1);
        Some(due)
    }

    async fn worker(&self) {
        let mut link = None;
        while let Some(due) = self.take() {
            self.pacer.wait(due).await;
            let begun = if self.args.qps > 0.0 { due } else { Instant::now() };
            let limit = self.args.request.limit().unwrap_or(Duration::from_secs(60));
            let work = self.one(&mut link);
            let got = timeout(limit, work).await.unwrap_or(Err(CallError::Timeout(limit)));
            let failed = got.is_err();
            self.note(got, begun.elapsed());
            if failed {
                link = None;
                // A server that refuses connections must not make this a busy loop.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn note(&self, got: Result<(u16, u64), CallError>, took: Duration) {
        let mut stats = self.stats.borrow_mut();
        match got {
            Ok((status, bytes)) => {
                *stats.statuses.entry(status).or_default() += 1;
                stats.bytes += bytes;
                stats.all.record(took);
                stats.recent.record(took);
            }
            Err(cause) => *stats.errors.entry(cause.kind()).or_default() += 1,
        }
    }

    async fn one(&self, link: &mut Option<Link>) -> Result<(u16, u64), CallError> {
        let mut open = match link.take().filter(Link::open) {
            Some(open) => open,
            None => {
                self.stats.borrow_mut().connections += 1;
                self.dialing.connect(&self.args.url).await?
            }
        };
        let (head, mut body) = open.send(self.template.clone()).await?.into_parts();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| CallError::Recv(cause.to_string()))?;
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        if !self.args.no_keepalive {
            *link = Some(open);
        }
        Ok((head.status.as_u16(), bytes))
    }

    /// A line every so many seconds, for ever.
    async fn progress(&self) {
        if self.args.progress == 0 {
            return std::future::pending().await;
        }
        let every = Duration::from_secs(self.args.progress);
        let terminal = std::io::stderr().is_terminal();
        for n in 1.. {
            sleep_until(self.started + every * n).await;
            let mut stats = self.stats.borrow_mut();
            let recent = std::mem::take(&mut stats.recent);
            #[expect(clippy::cast_precision_loss)]
            let rate = recent.count() as f64 / every.as_secs_f64();
            let statuses: Vec<String> =
                stats.statuses.iter().map(|(code, n)| format!("{code}: {n}")).collect();
            let line = format!(
                "{:>5} s  {:>8} answers  {rate:>9.1}/s  p50 {}  p99 {}  {}  errors: {}",
                self.started.elapsed().as_secs(),
                stats.all.count(),
                shown(recent.percentile(50.0)),
                shown(recent.percentile(99.0)),
                statuses.join("  "),
                stats.failed(),
            );
            if terminal {
                eprint!("\r{line}\x1b[K");
            } else {
                eprintln!("{line}");
            }
        }
    }
}

fn shown(value: Duration) -> String {
    let ms = value.as_secs_f64() * 1e3;
    if ms < 1000.0 { format!("{ms:>6.2} ms") } else { format!("{:>6.2} s ", ms / 1e3) }
}

fn report(stats: &Stats, seconds: f64) -> Value {
    let ms = |value: Duration| (value.as_secs_f64() * 1e6).round() / 1e3;
    let all = &stats.all;
    let statuses: BTreeMap<String, u64> =
        stats.statuses.iter().map(|(code, n)| (code.to_string(), *n)).collect();
    #[expect(clippy::cast_precision_loss)]
    let rate = all.count() as f64 / seconds;
    json!({
        "requests": all.count() + stats.failed(),
        "answers": all.count(),
        "errors": stats.failed(),
        "errors_by_kind": stats.errors,
        "statuses": statuses,
        "seconds": (seconds * 1e3).round() / 1e3,
        "rate": (rate * 10.0).round() / 10.0,
        "bytes": stats.bytes,
        "connections": stats.connections,
        "latency_ms": {
            "min": ms(all.min()),
            "mean": ms(all.mean()),
            "p50": ms(all.percentile(50.0)),
            "p90": ms(all.percentile(90.0)),
            "p99": ms(all.percentile(99.0)),
            "p999": ms(all.percentile(99.9)),
            "max": ms(all.max()),
        },
    })
}

fn print(stats: &Stats, report: &Value) {
    println!("{} answers in {} s: {} per second", report["answers"], report["seconds"], report["rate"]);
    println!("{} connections, {} bytes", report["connections"], report["bytes"]);
    let latency = &report["latency_ms"];
    let part = |name: &str| format!("{name} {} ms", latency[name]);
    println!("latency: {}", ["min", "mean", "p50", "p90", "p99", "p999", "max"].map(part).join("  "));
    for (status, count) in &stats.statuses {
        println!("status {status}: {count}");
    }
    for (kind, count) in &stats.errors {
        println!("error {kind}: {count}");
    }
}
