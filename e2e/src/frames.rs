//! HTTP/2 as no client library would write it: frames by hand over a blocking socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a client's side begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
/// END_STREAM, and ACK of SETTINGS and PING.
pub const END: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A field as a literal that no table remembers.
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    field(name.as_bytes(), value.as_bytes())
}

/// The same of bytes that are no text.
pub fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &length(name.len()), name, &length(value.len()), value].concat()
}

/// A length in seven bits and what does not fit behind them (RFC 7541 5.1).
fn length(n: usize) -> Vec<u8> {
    if n < 127 {
        return vec![n as u8];
    }
    let (mut bytes, mut rest) = (vec![127], n - 127);
    while rest >= 128 {
        bytes.push(rest as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// The status at the start of a head: a number of the static table, or spelled, in plain text or in Huffman's code.
pub fn status(block: &[u8]) -> Option<u16> {
    // A change of the table's size may come first.
    let block = if block.first()? & 0xe0 == 0x20 { &block[1..] } else { block };
    match *block.first()? {
        index @ 0x88..=0x8e => Some([200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)]),
        // With a name of the static table, remembered or not.
        0x48..=0x4e | 0x08..=0x0e => {
            let size = usize::from(block.get(1)? & 0x7f);
            let text = block.get(2..2 + size)?;
            if block[1] & 0x80 == 0 {
                return std::str::from_utf8(text).ok()?.parse().ok();
            }
            let bits: Vec<bool> =
                text.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1 == 1)).collect();
            let (mut at, mut status) = (0, 0);
            for _ in 0..3 {
                let take = |n: usize| -> Option<u16> {
                    Some(bits.get(at..at + n)?.iter().fold(0, |sum, bit| sum << 1 | u16::from(*bit)))
                };
                // The digits 0 to 2 have five bits, the others six from 011001.
                let (size, digit) = match take(5)? {
                    digit @ 0..=2 => (5, digit),
                    _ => (6, take(6)?.checked_sub(22)?),
                };
                at += size;
                status = status * 10 + digit;
            }
            Some(status)
        }
        _ => None,
    }
}

/// A head of `GET path` for `host`, as HPACK.
pub fn get(path: &str, host: &str) -> Vec<u8> {
    // :method GET and :scheme http are in the static table.
    [vec![0x82, 0x86], literal(":path", path), literal(":authority", host)].concat()
}

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection.
pub struct Connection {
    pub stream: TcpStream,
}

impl Connection {
    /// Connects and says the preface with `settings` (number, value).
    ///
    /// # Panics
    /// When nobody listens.
    pub fn open(to: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(to).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let mut payload = Vec::new();
        for (number, value) in settings {
            payload.extend(number.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut connection = Connection { stream };
        let begin = [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat();
        connection.send(&begin).expect("a fresh connection takes some bytes");
        connection
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The other side has gone, or reads nothing for long.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn next_frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, s, t, u, v] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes([s & 0x7f, t, u, v]), payload })
    }

    /// Frames up to the first for which `wanted` holds, that one included.
    ///
    /// # Errors
    /// The connection has ended before.
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> io::Result<Vec<Frame>> {
        let mut all = Vec::new();
        loop {
            let frame = self.next_frame()?;
            let found = wanted(&frame);
            all.push(frame);
            if found {
                return Ok(all);
            }
        }
    }

    /// Waits until the other side has dealt with everything so far.
    ///
    /// # Errors
    /// The connection has ended before.
    pub fn settle(&mut self) -> io::Result<Vec<Frame>> {
        self.send(&frame(PING, 0, 0, b"settled?"))?;
        self.until(|frame| frame.kind == PING && frame.flags & END != 0)
    }

    /// The error code of the GOAWAY that says why the connection ends; `None`: it ended without one.
    pub fn reason(&mut self) -> Option<u32> {
        loop {
            let frame = self.next_frame().ok()?;
            if frame.kind == GOAWAY {
                let code = frame.payload.get(4..8)?.try_into().ok()?;
                return Some(u32::from_be_bytes(code));
            }
        }
    }
}
