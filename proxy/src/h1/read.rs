//! Bodies as they come in: plain, chunked, or up to the end of the stream. A state machine over a buffer.
//!
//! In: a length from `framing`, then bytes in any cut. Out: frames of data and trailers, or what is wrong. Owned by
//! `conn`.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::head::Limits;
use super::trail::parse_trailers;
use super::{Error, Length, Refusal};

/// A chunk's size line, with extensions. Envoy's limit on extensions is the head's; nobody sends them.
const MAX_SIZE_LINE: usize = 256;

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Where in a body we are.
#[derive(Debug)]
pub(super) enum Decoder {
    Done,
    Fixed(u64),
    /// Before a chunk's size line.
    Size,
    Data(u64),
    /// Before the line end after a chunk's data.
    DataEnd,
    /// After the last chunk.
    Trailers,
    /// Trailers that were read while looking for the end.
    Held(HeaderMap),
    Close,
}

impl Decoder {
    pub(super) fn new(length: Length) -> Self {
        match length {
            Length::None | Length::Fixed(0) => Decoder::Done,
            Length::Fixed(n) => Decoder::Fixed(n),
            Length::Chunked => Decoder::Size,
            Length::Close => Decoder::Close,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Decoder::Done)
    }

    /// How many bytes the next read could use; a hint for the buffer's size.
    pub(super) fn wanted(&self) -> u64 {
        match self {
            Decoder::Fixed(n) | Decoder::Data(n) => *n,
            Decoder::Close => 1 << 16,
            _ => 0,
        }
    }

    /// The next frame in `buf`; `None`: done (see [`Decoder::is_done`]) or more bytes are needed.
    pub(super) fn decode(&mut self, buf: &mut BytesMut, eof: bool) -> Result<Option<Frame>, Error> {
        self.skip(buf)?;
        let frame = match self {
            Decoder::Fixed(left) | Decoder::Data(left) if !buf.is_empty() => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
                *left -= n as u64;
                Some(Frame::Data(buf.split_to(n).freeze()))
            }
            Decoder::Close if !buf.is_empty() => Some(Frame::Data(buf.split().freeze())),
            Decoder::Close if eof => {
                *self = Decoder::Done;
                None
            }
            Decoder::Held(_) => {
                let Decoder::Held(trailers) = std::mem::replace(self, Decoder::Done) else { return Ok(None) };
                return Ok(Some(Frame::Trailers(trailers)));
            }
            _ => None,
        };
        match self {
            Decoder::Fixed(0) => *self = Decoder::Done,
            Decoder::Data(0) => *self = Decoder::DataEnd,
            _ => {}
        }
        if frame.is_some() {
            // Look for the end now: the last data can then travel with the end of the message.
            self.skip(buf)?;
        } else if eof && !self.is_done() {
            return Err(Error::Closed);
        }
        Ok(frame)
    }

    /// Goes over what is between data: size lines, line ends, trailers.
    fn skip(&mut self, buf: &mut BytesMut) -> Result<(), Error> {
        loop {
            match self {
                Decoder::DataEnd => match buf.get(..2) {
                    Some(b"\r\n") => {
                        buf.advance(2);
                        *self = Decoder::Size;
                    }
                    Some(_) => return Err(Error::Refused(Refusal::bad("chunk is longer than it says"))),
                    None => return Ok(()),
                },
                Decoder::Size => match size_line(buf).map_err(Error::Refused)? {
                    Some((used, size)) => {
                        buf.advance(used);
                        *self = if size == 0 { Decoder::Trailers } else { Decoder::Data(size) };
                    }
                    None => return Ok(()),
                },
                Decoder::Trailers => {
                    match parse_trailers(buf, &Limits::default()).map_err(Error::Refused)? {
                        Some((used, trailers)) => {
                            buf.advance(used);
                            *self = if trailers.is_empty() { Decoder::Done } else { Decoder::Held(trailers) };
                        }
                        None => return Ok(()),
                    }
                }
                _ => return Ok(()),
            }
        }
    }
}

/// A chunk's size line: hexadecimal digits, optionally an extension that is ignored.
fn size_line(buf: &[u8]) -> Result<Option<(usize, u64)>, Refusal> {
    let Some(end) = buf.iter().take(MAX_SIZE_LINE).position(|b| *b == b'\n') else {
        if buf.len() >= MAX_SIZE_LINE {
            return Err(Refusal::bad("chunk size line is too long"));
        }
        return Ok(None);
    };
    let Some(line) = buf[..end].strip_suffix(b"\r") else {
        return Err(Refusal::bad("line ends without carriage return"));
    };
    let digits = line.iter().position(|b| *b == b';').unwrap_or(line.len());
    if !line[digits..].iter().all(|b| *b == b'\t' || (0x20..0x7f).contains(b)) {
        return Err(Refusal::bad("character in a chunk extension"));
    }
    let digits = &line[..digits];
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Refusal::bad("chunk size is not a number"));
    }
    let size = digits.iter().fold(0u64, |sum, digit| sum * 16 + u64::from(hex(*digit)));
    Ok(Some((end + 1, size)))
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}
