//! What containers print: kept in memory for `logs`, on disk for later, and passed on live.
//!
//! In: the read ends of containers' standard output and error. Out: lines. One entry per container of a pod,
//! which survives restarts of the container. Called by pods (write) and by `up` and `logs` (read).

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::broadcast;

/// Lines kept in memory per container.
const KEPT: usize = 4000;
/// Longer lines are cut into pieces of this size.
const LONGEST: usize = 64 << 10;

/// Which container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
}

/// One line of one container.
#[derive(Clone, Debug)]
pub struct Line {
    /// Who said it.
    pub stream: Arc<Stream>,
    /// When it came.
    pub at: Timestamp,
    /// Without its end.
    pub text: Arc<str>,
}

/// All lines of a mesh.
pub struct LogBook {
    dir: PathBuf,
    kept: Mutex<BTreeMap<Stream, VecDeque<Line>>>,
    live: broadcast::Sender<Line>,
}

impl LogBook {
    /// A book that also writes to files in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, kept: Mutex::default(), live: broadcast::channel(16 << 10).0 }
    }

    /// Lines from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Line> {
        self.live.subscribe()
    }

    /// The lines kept of each of these containers, and all lines from now on, without a gap between them.
    #[must_use]
    pub fn read(&self, streams: &[Stream]) -> (Vec<Vec<Line>>, broadcast::Receiver<Line>) {
        let kept = self.kept.lock();
        let lines =
            |stream| kept.get(stream).map(|lines| lines.iter().cloned().collect()).unwrap_or_default();
        (streams.iter().map(lines).collect(), self.live.subscribe())
    }

    /// Forgets a pod that has gone.
    pub fn forget(&self, namespace: &str, pod: &str) {
        self.kept.lock().retain(|stream, _| stream.namespace != namespace || stream.pod != pod);
    }

    /// Reads a container's output to its end in a task of its own.
    pub fn collect(self: &Arc<Self>, stream: Stream, output: OwnedFd) -> Result<()> {
        let reader = pipe::Receiver::from_owned_fd(output)?;
        let book = Arc::clone(self);
        tokio::spawn(book.pump(Arc::new(stream), reader));
        Ok(())
    }

    async fn pump(self: Arc<Self>, stream: Arc<Stream>, reader: pipe::Receiver) {
        let name = format!("{}_{}_{}.log", stream.namespace, stream.pod, stream.container);
        // Without a file the lines are still in memory.
        let mut file = std::fs::File::options().create(true).append(true).open(self.dir.join(name)).ok();
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match read_line(&mut reader, &mut bytes).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
            let text: Arc<str> = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).into();
            if let Some(open) = &mut file
                && writeln!(open, "{text}").is_err()
            {
                file = None;
            }
            self.say(&stream, text);
        }
    }

    /// Adds one line.
    pub fn say(&self, stream: &Arc<Stream>, text: Arc<str>) {
        let mut kept = self.kept.lock();
        let lines = kept.entry((**stream).clone()).or_default();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        let line = Line { stream: Arc::clone(stream), at: Timestamp::now(), text };
        lines.push_back(line.clone());
        // Nobody may be following.
        self.live.send(line).ok();
    }
}

async fn read_line(reader: &mut BufReader<pipe::Receiver>, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(!bytes.is_empty());
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |at| at + 1);
        bytes.extend_from_slice(&available[..taken]);
        reader.consume(taken);
        if end.is_some() || bytes.len() >= LONGEST {
            return Ok(true);
        }
    }
}
