//! What of a request's body was already read, for another attempt or a copy to a mirror. Pieces are shared, not
//! copied. Beyond the limit it is given up: then there is no other attempt, as in Envoy.

use bytes::Bytes;

/// `per_connection_buffer_limit_bytes`: 1 MiB.
pub(crate) const LIMIT: usize = 1 << 20;

/// A body so far.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pieces: Vec<Bytes>,
    size: usize,
    /// The next piece to give again.
    at: usize,
    /// The end of the body was seen.
    pub(crate) complete: bool,
    /// It was longer than the limit.
    pub(crate) overflow: bool,
}

impl Replay {
    /// A complete body, to be given from the start.
    pub(crate) fn of(pieces: Vec<Bytes>) -> Self {
        Replay { size: pieces.iter().map(Bytes::len).sum(), pieces, complete: true, ..Replay::default() }
    }

    /// Notes a piece that was just read.
    pub(crate) fn keep(&mut self, data: &Bytes, last: bool) {
        self.complete |= last;
        self.size += data.len();
        if self.size > LIMIT {
            self.overflow = true;
            self.pieces = Vec::new();
        }
        if !self.overflow {
            self.pieces.push(data.clone());
            self.at = self.pieces.len();
        }
    }

    /// From the start again.
    pub(crate) fn rewind(&mut self) {
        self.at = 0;
    }

    /// The next piece of what was read before, and whether it is the last of the body.
    pub(crate) fn next(&mut self) -> Option<(Bytes, bool)> {
        let piece = self.pieces.get(self.at)?.clone();
        self.at += 1;
        Some((piece, self.complete && self.at == self.pieces.len()))
    }

    /// All pieces, where the body is complete.
    pub(crate) fn whole(&self) -> Option<&[Bytes]> {
        (self.complete && !self.overflow).then_some(&self.pieces[..])
    }
}
