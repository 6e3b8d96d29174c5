//! gRPC's framing: one byte of flags, four of length, a message.
//!
//! In: chunks of a body in any cut. Out: whole messages as slices of what arrived where possible; and the three headers
//! of a call that ends without a message. Used by both doors of [`super`].

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, header};
use tonic::{Code, Status};

/// Larger messages are refused. gRPC's own default of 4 MiB is less than a big mesh's first clusters.
pub const MAX_MESSAGE: usize = 64 << 20;
/// A claimed length is believed up to here; whoever claims more must send it before there is room for it.
const BELIEVED: usize = 4 << 20;
/// Bytes before each message.
pub(super) const PREFIX: usize = 5;

/// Cuts a stream of chunks into messages.
#[derive(Default)]
pub(super) struct Decoder {
    parts: BytesMut,
}

impl Decoder {
    pub(super) fn push(&mut self, chunk: &Bytes) {
        self.parts.extend_from_slice(chunk);
    }

    /// The next whole message, if it is there.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let &[flags, a, b, c, d, ..] = &self.parts[..] else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if flags != 0 {
            return Err(Status::unimplemented("compressed messages are not supported"));
        }
        if length > MAX_MESSAGE {
            let text = format!("message of {length} bytes is above the limit of {MAX_MESSAGE}");
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        if self.parts.len() < PREFIX + length {
            // One allocation for a large message instead of many doublings.
            self.parts.reserve((PREFIX + length - self.parts.len()).min(BELIEVED));
            return Ok(None);
        }
        self.parts.advance(PREFIX);
        Ok(Some(self.parts.split_to(length).freeze()))
    }
}

/// A message with its prefix, for small messages.
pub(super) fn framed<M: prost::Message>(message: &M) -> Bytes {
    let length = message.encoded_len();
    let mut out = Vec::with_capacity(PREFIX + length);
    out.push(0);
    // Requests are far below 4 GiB; prost could not encode more either.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    if message.encode(&mut out).is_err() {
        out.clear();
    }
    out.into()
}

/// A response without a message: what a refused call gets.
pub fn refuse(status: &Status) -> http::Response<tonic::body::Body> {
    status.clone().into_http()
}

/// The head of a successful response.
pub(super) fn response<B>(body: B) -> http::Response<B> {
    let mut response = http::Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_any_cut() {
        let whole = [&[0, 0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 2], b"de"].concat();
        for cut in 0..=whole.len() {
            let (one, two) = whole.split_at(cut);
            let (mut decoder, mut found) = (Decoder::default(), Vec::new());
            for chunk in [one, two] {
                decoder.push(&Bytes::copy_from_slice(chunk));
                while let Some(message) = decoder.next().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, ["abc", "", "de"], "cut at {cut}");
        }
    }

    #[test]
    fn what_is_claimed_costs_nothing() {
        let mut decoder = Decoder::default();
        decoder.push(&Bytes::from_static(&[0, 3, 0xff, 0xff, 0xff]));
        assert!(decoder.next().unwrap().is_none());
        assert!(decoder.parts.capacity() <= 2 * BELIEVED, "{}", decoder.parts.capacity());
        let mut decoder = Decoder::default();
        decoder.push(&Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]));
        assert_eq!(decoder.next().unwrap_err().code(), Code::ResourceExhausted);
        let mut decoder = Decoder::default();
        decoder.push(&Bytes::from_static(&[1, 0, 0, 0, 0]));
        assert_eq!(decoder.next().unwrap_err().code(), Code::Unimplemented);
    }
}
