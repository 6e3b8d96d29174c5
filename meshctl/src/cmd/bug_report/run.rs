//! Fetches and writes the report.
//!
//! In: the command line, a mesh. Out: `bug-report.tar.gz`. Files are fetched many at a time and written as they come; what
//! cannot be had is told in `bug-report.log` beside them, and so is what was left out because of time or size.

use std::fs::File;
use std::io::BufWriter;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api::Kind;
use futures_util::StreamExt;
use serde_json::Value;

use super::args::BugReport;
use super::choice::chosen;
use super::cluster;
use super::plan::{How, LogLimits, ROOT, Wish, of_pod};
use crate::archive::TarGz;
use crate::client::{Asked, Mesh, Method};
use crate::cmd::analyze;
use crate::cmd::printed::Printed;
use crate::globals::Globals;

const NAME: &str = "bug-report.tar.gz";
/// The most of one file.
const FILE: usize = 64 << 20;
/// The most of all files together, before compression.
const TOTAL: usize = 2 << 30;
/// The most that a single answer is waited for.
const ANSWER: Duration = Duration::from_secs(90);

/// The archive and what is told about it.
struct Report {
    archive: TarGz<BufWriter<File>>,
    log: String,
    started: Instant,
    size: usize,
    files: usize,
    failed: usize,
}

/// Runs it.
///
/// # Errors
/// The mesh cannot be found, its pods cannot be listed, or the archive cannot be written.
pub fn run(args: &BugReport, globals: &Globals) -> Result<Printed> {
    args.check()?;
    let globals = globals.with(&args.flags);
    let mesh = Mesh::find(&globals)?;
    let pods = mesh.objects(&[Kind::Pod], None)?;
    let pods: Vec<&Value> = pods.iter().filter(|pod| chosen(pod, &args.include, &args.exclude)).collect();
    let limits = LogLimits { since: args.since(), tail: args.tail };
    let admin = (!args.skip_proxy_debug).then_some(args.proxy_admin_port);
    let wishes: Vec<Wish> = pods.iter().flat_map(|pod| of_pod(pod, mesh.system(), admin, limits)).collect();
    if args.dry_run {
        return Ok(Printed::out(wishes.iter().map(|wish| format!("{}\n", wish.file)).collect::<String>()));
    }
    std::fs::create_dir_all(&args.output_dir)
        .with_context(|| format!("make the folder {}", args.output_dir.display()))?;
    let path = args.output_dir.join(NAME);
    let file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
    anstream::eprintln!("{}: {} pods, {} pages and logs", mesh.place(), pods.len(), wishes.len());
    let mut report = Report {
        archive: TarGz::new(
            BufWriter::new(file),
            u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default(),
        ),
        log: String::new(),
        started: Instant::now(),
        size: 0,
        files: 0,
        failed: 0,
    };
    report.note(&format!(
        "meshctl {} at {}: {}",
        env!("CARGO_PKG_VERSION"),
        jiff::Timestamp::now(),
        mesh.place()
    ));
    let limit = args.timeout.to_std();
    mesh.wait(async {
        if tokio::time::timeout(limit, gather(&mut report, &mesh, args, &wishes)).await.is_err() {
            report.note(&format!("TIME IS OVER after {limit:?}: files that are not above were not fetched"));
        }
    });
    if !args.skip_analyze {
        let found = analyze::everywhere(&globals);
        report.add("analyze/report.txt", found.map(String::into_bytes));
    }
    report.finish()?;
    Ok(Printed { out: format!("{}\n", path.display()), ..Printed::default() })
}

async fn gather(report: &mut Report, mesh: &Mesh, args: &BugReport, wishes: &[Wish]) {
    if !args.skip_cluster_dump {
        for (name, text) in cluster::files(mesh).await {
            report.add(&format!("cluster/{name}"), text.map(String::into_bytes));
        }
    }
    let fetched = wishes.iter().map(|wish| async move {
        let answer = tokio::time::timeout(ANSWER, fetch(mesh, wish)).await;
        (wish, answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {ANSWER:?}"))))
    });
    let mut fetched = futures_util::stream::iter(fetched).buffer_unordered(args.rq_concurrency);
    while let Some((wish, text)) = fetched.next().await {
        let name = wish.file.strip_prefix(ROOT).unwrap_or(&wish.file).trim_start_matches('/');
        report.add(name, text.map(String::into_bytes));
    }
}

async fn fetch(mesh: &Mesh, wish: &Wish) -> Result<String> {
    match &wish.how {
        How::Page { port, path } => {
            mesh.page_of(&wish.pod, *port, Asked { method: Method::Get, path, body: "" }).await
        }
        How::Logs(lines) => mesh.logs(&wish.pod, lines).await,
    }
}

impl Report {
    fn note(&mut self, line: &str) {
        self.log.push_str(&format!("{:8.3}s {line}\n", self.started.elapsed().as_secs_f64()));
    }

    /// Adds a file, as far as there is room, or says why it is not there.
    fn add(&mut self, name: &str, body: Result<Vec<u8>>) {
        let mut body = match body {
            Ok(body) => body,
            Err(error) => {
                self.failed += 1;
                return self.note(&format!("NOT THERE {name}: {error:#}"));
            }
        };
        if self.size >= TOTAL {
            self.failed += 1;
            return self.note(&format!("LEFT OUT {name}: the report has {TOTAL} bytes already"));
        }
        if body.len() > FILE {
            self.note(&format!("CUT {name}: {} bytes of {}", FILE, body.len()));
            body.truncate(FILE);
        }
        match self.archive.file(&format!("{ROOT}/{name}"), &body) {
            Ok(()) => {
                self.size += body.len();
                self.files += 1;
                self.note(&format!("{name}: {} bytes", body.len()));
            }
            Err(error) => {
                self.failed += 1;
                self.note(&format!("NOT WRITTEN {name}: {error}"));
            }
        }
    }

    fn finish(mut self) -> Result<()> {
        anstream::eprintln!(
            "{} files, {} not there; bug-report.log in the archive says why",
            self.files,
            self.failed
        );
        self.archive.file(&format!("{ROOT}/bug-report.log"), self.log.as_bytes())?;
        self.archive.finish()?;
        Ok(())
    }
}
