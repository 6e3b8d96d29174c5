//! Access log lines, and the way they take to a file.
//!
//! In: a log's settings and the facts. Out: a line, appended to the worker's buffer of that path; buffers go to one
//! writer thread per path, so that a slow disk never stops a worker. A full queue drops lines and counts them.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::format::LogFormat;
use super::subject::Subject;
use crate::config::AccessLog;
use crate::fail::Failure;

/// Batches waiting for one writer.
const QUEUE: usize = 1024;

/// Whether this log wants requests with these failures.
pub fn wants(log: &AccessLog, failures: &[Failure]) -> bool {
    log.only_flags.is_empty()
        || failures.iter().any(|failure| log.only_flags.iter().any(|flag| **flag == *failure.row().flag))
}

/// Appends one line. Pure.
pub fn line(format: &LogFormat, subject: &Subject<'_>, out: &mut String) {
    match format {
        LogFormat::Text(text) => {
            text.render(subject, out);
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
        LogFormat::Json(json) => {
            json.render(subject, out);
            out.push('\n');
        }
    }
}

struct Writer {
    queue: SyncSender<Vec<u8>>,
    thread: JoinHandle<()>,
}

/// The writers by path. Clones are the same set.
#[derive(Clone, Default)]
pub struct Sinks {
    writers: Arc<Mutex<HashMap<Arc<str>, Writer>>>,
    dropped: Arc<AtomicU64>,
}

impl Sinks {
    /// Queues a batch for a path; drops it if the writer is far behind.
    pub fn send(&self, path: &Arc<str>, batch: Vec<u8>) {
        let mut writers = self.writers.lock();
        if !writers.contains_key(path) {
            match start(path) {
                Ok(writer) => {
                    writers.insert(path.clone(), writer);
                }
                Err(error) => {
                    tracing::error!(%path, %error, "access log cannot be written");
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        }
        if writers.get(path).is_some_and(|writer| writer.queue.try_send(batch).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Batches that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Opens files anew at the next batch (`/reopen_logs`), after writing what is queued.
    pub fn finish(&self) {
        let writers: Vec<Writer> = self.writers.lock().drain().map(|(_, writer)| writer).collect();
        for writer in writers {
            drop(writer.queue);
            if writer.thread.join().is_err() {
                tracing::error!("an access log writer panicked");
            }
        }
    }
}

fn start(path: &Arc<str>) -> std::io::Result<Writer> {
    let mut file: Box<dyn Write + Send> = match &**path {
        "/dev/stdout" => Box::new(std::io::stdout()),
        "/dev/stderr" => Box::new(std::io::stderr()),
        path => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
    };
    let (queue, batches) = sync_channel::<Vec<u8>>(QUEUE);
    let path = path.clone();
    let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || {
        for batch in batches {
            if let Err(error) = file.write_all(&batch).and_then(|()| file.flush()) {
                tracing::warn!(%path, %error, "access log lines were lost");
            }
        }
    })?;
    Ok(Writer { queue, thread })
}
