//! A client's side of one connection: writes bytes, and reads answers until the other side says that it ends.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::oracle::{self, Message, Read};

/// Longer than every timeout of the planes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client got on one connection.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) answers: Vec<Answer>,
    /// What followed the last answer and is none.
    pub(crate) rest: Vec<u8>,
    pub(crate) ended: Ended,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) interim: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) message: Message,
    /// The origin's record that it answers.
    pub(crate) seen: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The other side ended it, or we did after it had announced that.
    #[default]
    Closed,
    Reset,
    Silent,
}

/// The method that an answer is to, by its number on the connection and the origin's record that it names.
pub(crate) type Method<'a> = &'a dyn Fn(usize, Option<usize>) -> Option<String>;

/// Sends `bytes` in these pieces and reads. With `polite` we leave once an answer says that the connection ends.
pub(crate) fn talk(to: SocketAddr, pieces: &[&[u8]], polite: bool, method: Method<'_>) -> io::Result<Got> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Who refuses the start may end before it has the rest.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut all = Vec::new();
    let mut part = [0; 16 * 1024];
    let ended = loop {
        match stream.read(&mut part) {
            Ok(0) => break Ended::Closed,
            Ok(n) => all.extend_from_slice(&part[..n]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                break Ended::Silent;
            }
            Err(_) => break Ended::Reset,
        }
        if polite {
            let got = understood(&all, false, method);
            if got.rest.is_empty() && got.answers.last().is_some_and(|answer| answer.message.is_last()) {
                break Ended::Closed;
            }
        }
    };
    Ok(Got { ended, ..understood(&all, true, method) })
}

fn understood(mut bytes: &[u8], ended: bool, method: Method<'_>) -> Got {
    let mut got = Got::default();
    let mut interim = Vec::new();
    while let Read::Whole(head) = oracle::response(bytes, "HEAD", ended) {
        let seen = head.values("x-seen").first().and_then(|text| String::from_utf8_lossy(text).parse().ok());
        let rest = &bytes[head.size..];
        // An answer of the plane itself: what follows tells whether it was to HEAD.
        let method = method(got.answers.len(), seen).unwrap_or_else(|| {
            let bodiless = rest.starts_with(b"HTTP/1.") || rest.is_empty();
            if bodiless { "HEAD".into() } else { "GET".into() }
        });
        let Read::Whole(message) = oracle::response(bytes, &method, ended) else { break };
        bytes = &bytes[message.size..];
        let status = message.start.0.parse().unwrap();
        if (100..200).contains(&status) && status != 101 {
            interim.push(status);
            continue;
        }
        got.answers.push(Answer { interim: std::mem::take(&mut interim), status, message, seen });
        if status == 101 {
            break;
        }
    }
    got.rest = bytes.to_vec();
    got
}
