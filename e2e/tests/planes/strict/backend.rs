//! An origin that keeps the bytes: what a plane writes to it is judged by the oracle, message by message. It answers only
//! what is one valid message with nothing behind it, and tells in `x-seen` which of its records that was.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::oracle::{self, Message, Read};

/// How long nothing may follow a message before it is answered. A proxy does not pipeline, so what follows was smuggled.
const SILENCE: Duration = Duration::from_millis(1);

/// What was made of the bytes of one message.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Message(Message),
    /// The connection ended within it; valid as far as it goes.
    Part,
    /// Ambiguous, or more than one.
    Wrong(String, Vec<u8>),
}

/// The running origin of one plane.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    records: Arc<Mutex<Vec<Record>>>,
}

/// Bytes of an answer by the target of the request; `None`: a plain one. True: the connection ends after it.
pub(crate) type Script = Arc<dyn Fn(&str) -> Option<(Vec<u8>, bool)> + Send + Sync>;

impl Backend {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let records = Arc::<Mutex<Vec<Record>>>::default();
        let shared = records.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (records, script) = (shared.clone(), script.clone());
                // A proxy that goes away is no failure of the origin.
                thread::spawn(move || drop(serve(stream, &records, &script)));
            }
        });
        Backend { address, records }
    }

    pub(crate) fn record(&self, number: usize) -> Option<Record> {
        self.records.lock().unwrap().get(number).cloned()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, records: &Mutex<Vec<Record>>, script: &Script) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut all: Vec<u8> = Vec::new();
    let mut part = [0; 16 * 1024];
    let keep = |record| {
        let mut records = records.lock().unwrap();
        records.push(record);
        records.len() - 1
    };
    loop {
        let message = match oracle::request(&all) {
            Read::Whole(message) => message,
            Read::Broken(why) => {
                keep(Record::Wrong(why.into(), all));
                return Ok(());
            }
            Read::Part => {
                let n = stream.read(&mut part).unwrap_or(0);
                if n == 0 {
                    if !all.is_empty() {
                        keep(Record::Part);
                    }
                    return Ok(());
                }
                all.extend_from_slice(&part[..n]);
                continue;
            }
        };
        stream.set_read_timeout(Some(SILENCE))?;
        if let Ok(n @ 1..) = stream.read(&mut part) {
            all.extend_from_slice(&part[..n]);
        }
        stream.set_read_timeout(None)?;
        if all.len() > message.size {
            keep(Record::Wrong("bytes behind a message that was not answered yet".into(), all));
            return Ok(());
        }
        all.clear();
        let (method, target) = message.start.clone();
        let number = keep(Record::Message(message));
        let (answer, ends) = script(&target).unwrap_or_else(|| plain(number, &method));
        stream.write_all(&answer)?;
        if ends {
            stream.shutdown(std::net::Shutdown::Write)?;
            // Who closes with unread input resets what it said.
            while stream.read(&mut part)? > 0 {}
            return Ok(());
        }
    }
}

fn plain(number: usize, method: &str) -> (Vec<u8>, bool) {
    let body = if method == "HEAD" { "" } else { "ok" };
    (format!("HTTP/1.1 200 OK\r\nx-seen: {number}\r\ncontent-length: 2\r\n\r\n{body}").into_bytes(), false)
}
