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
    let length = |n: usize| -> Vec<u8> { if n < 127 { vec![n as u8] } else { vec![127, (n - 127) as u8] } };
    [&[0][..], &length(name.len()), name.as_bytes(), &length(value.len()), value.as_bytes()].concat()
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
