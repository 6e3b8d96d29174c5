//! gzip (RFC 1952) with deflate's fixed codes (RFC 1951): small, and good enough for text.
//!
//! In: pieces of bytes. Out: a gzip stream. Each piece is a block of its own and refers to nothing before it, so that
//! memory is bounded by the largest piece. Repeated strings of 3 to 258 bytes within 32 KiB become references.

use std::io::{self, Write};

/// How far back a reference may reach.
const WINDOW: usize = 32 << 10;
const SHORTEST: usize = 3;
const LONGEST: usize = 258;
/// Earlier places that are tried for a longer match.
const TRIES: usize = 24;
const HASHES: usize = 1 << 15;
const NOWHERE: u32 = u32::MAX;

/// Smallest length of each length code from 257 on, and of each distance code.
const LENGTHS: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227, 258,
];
const DISTANCES: [u16; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073,
    4097, 6145, 8193, 12289, 16385, 24577,
];

/// A gzip stream.
pub(super) struct Gzip<W> {
    out: W,
    crc: u32,
    size: u32,
    bits: u64,
    count: u32,
}

impl<W: Write> Gzip<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        // Deflate, no name, no time, nothing about speed, Unix.
        out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])?;
        Ok(Self { out, crc: !0, size: 0, bits: 0, count: 0 })
    }

    /// Compresses one piece.
    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        for byte in piece {
            self.crc = CRC[usize::from(self.crc.to_le_bytes()[0] ^ byte)] ^ (self.crc >> 8);
        }
        self.size = self.size.wrapping_add(u32::try_from(piece.len() & 0xffff_ffff).unwrap_or_default());
        // Not the last block, fixed codes.
        self.put(0b010, 3)?;
        self.matches(piece)?;
        self.symbol(256)
    }

    /// Ends the stream.
    pub(super) fn finish(mut self) -> io::Result<W> {
        // The last block, with nothing in it.
        self.put(0b011, 3)?;
        self.symbol(256)?;
        self.put(0, (8 - self.count % 8) % 8)?;
        self.out.write_all(&(!self.crc).to_le_bytes())?;
        self.out.write_all(&self.size.to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn matches(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut head = vec![NOWHERE; HASHES];
        let mut before = vec![NOWHERE; WINDOW];
        let mut at = 0;
        while at < piece.len() {
            let (length, distance) = longest(piece, at, &head, &before);
            let step = if length >= SHORTEST {
                self.reference(length, distance)?;
                length
            } else {
                self.symbol(u16::from(piece[at]))?;
                1
            };
            for place in at..at + step {
                if let Some(hash) = hash(piece, place) {
                    before[place % WINDOW] = head[hash];
                    head[hash] = u32::try_from(place).unwrap_or(NOWHERE);
                }
            }
            at += step;
        }
        Ok(())
    }

    /// A literal, the end of a block, or a length code.
    fn symbol(&mut self, symbol: u16) -> io::Result<()> {
        match symbol {
            0..=143 => self.code(0x30 + symbol, 8),
            144..=255 => self.code(0x190 + symbol - 144, 9),
            256..=279 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn reference(&mut self, length: usize, distance: usize) -> io::Result<()> {
        let at = LENGTHS.partition_point(|least| usize::from(*least) <= length) - 1;
        self.symbol(257 + u16::try_from(at).unwrap_or_default())?;
        // 258 has a code of its own, without further bits.
        let more = if at < 8 || at == 28 { 0 } else { u32::try_from(at / 4 - 1).unwrap_or_default() };
        self.put((length - usize::from(LENGTHS[at])) as u64, more)?;
        let at = DISTANCES.partition_point(|least| usize::from(*least) <= distance) - 1;
        self.code(u16::try_from(at).unwrap_or_default(), 5)?;
        let more = if at < 4 { 0 } else { u32::try_from(at / 2 - 1).unwrap_or_default() };
        self.put((distance - usize::from(DISTANCES[at])) as u64, more)
    }

    /// Codes are written from their highest bit on.
    fn code(&mut self, code: u16, length: u32) -> io::Result<()> {
        self.put(u64::from(code.reverse_bits() >> (16 - length)), length)
    }

    fn put(&mut self, bits: u64, count: u32) -> io::Result<()> {
        self.bits |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.write_all(&self.bits.to_le_bytes()[..1])?;
            self.bits >>= 8;
            self.count -= 8;
        }
        Ok(())
    }
}

fn hash(piece: &[u8], at: usize) -> Option<usize> {
    let three = piece.get(at..at + SHORTEST)?;
    let number = u32::from(three[0]) | u32::from(three[1]) << 8 | u32::from(three[2]) << 16;
    Some((number.wrapping_mul(0x9e37_79b1) >> 17) as usize)
}

/// The longest repetition of what begins here: length and distance; a length of 0 is none.
fn longest(piece: &[u8], at: usize, head: &[u32], before: &[u32]) -> (usize, usize) {
    let Some(hash) = hash(piece, at) else { return (0, 0) };
    let most = LONGEST.min(piece.len() - at);
    let (mut best, mut place, mut tries) = ((0, 0), head[hash], TRIES);
    while place != NOWHERE && tries > 0 {
        let from = place as usize;
        if from >= at || at - from > WINDOW {
            break;
        }
        let length = (0..most).take_while(|step| piece[from + step] == piece[at + step]).count();
        if length > best.0 {
            best = (length, at - from);
        }
        if length == most {
            break;
        }
        place = before[from % WINDOW];
        tries -= 1;
    }
    best
}

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
};

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Reads what is written above, and checks sum and size: fixed codes only.
    pub(in crate::archive) fn inflate(stream: &[u8]) -> Vec<u8> {
        assert_eq!(stream[..4], [0x1f, 0x8b, 8, 0]);
        let (body, tail) = stream[10..].split_at(stream.len() - 18);
        let mut at = 0usize;
        let mut bit = || {
            let value = body[at / 8] >> (at % 8) & 1;
            at += 1;
            u32::from(value)
        };
        let mut out: Vec<u8> = Vec::new();
        loop {
            let last = bit();
            assert_eq!((bit(), bit()), (1, 0), "fixed codes");
            loop {
                let mut code = (0..7).fold(0, |code, _| code << 1 | bit());
                let symbol = if code < 0x18 {
                    256 + code
                } else {
                    code = code << 1 | bit();
                    match code {
                        0x30..=0xbf => code - 0x30,
                        0xc0..=0xc7 => 280 + code - 0xc0,
                        _ => (code << 1 | bit()) - 0x190 + 144,
                    }
                };
                match symbol {
                    0..=255 => out.push(u8::try_from(symbol).unwrap()),
                    256 => break,
                    _ => {
                        let index = symbol as usize - 257;
                        let more = if index < 8 || index == 28 { 0 } else { index / 4 - 1 };
                        let extra = (0..more).fold(0, |value, step| value | (bit() as usize) << step);
                        let length = usize::from(LENGTHS[index]) + extra;
                        let index = (0..5).fold(0, |code, _| code << 1 | bit()) as usize;
                        let more = if index < 4 { 0 } else { index / 2 - 1 };
                        let extra = (0..more).fold(0, |value, step| value | (bit() as usize) << step);
                        let distance = usize::from(DISTANCES[index]) + extra;
                        for _ in 0..length {
                            out.push(out[out.len() - distance]);
                        }
                    }
                }
            }
            if last == 1 {
                break;
            }
        }
        let crc =
            out.iter().fold(!0u32, |crc, byte| CRC[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8));
        assert_eq!(tail[..4], (!crc).to_le_bytes());
        assert_eq!(tail[4..], u32::try_from(out.len()).unwrap().to_le_bytes());
        out
    }

    fn packed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut gzip = Gzip::new(Vec::new()).unwrap();
        pieces.iter().for_each(|piece| gzip.write(piece).unwrap());
        gzip.finish().unwrap()
    }

    #[test]
    fn what_goes_in_comes_out() {
        assert_eq!(inflate(&packed(&[b"", b"a", b"abcabcabcabc"])), b"aabcabcabcabc");
        let every: Vec<u8> = (0..=255).collect();
        assert_eq!(inflate(&packed(&[&every])), every);
        // Far repetitions, long ones, and none.
        let mut noise = 1u32;
        let mut text = Vec::new();
        for number in 0..90_000u32 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push(if number % 3 == 0 { noise.to_le_bytes()[3] } else { b'=' });
            if number % 40_000 == 0 {
                text.extend([b'x'; 600]);
            }
        }
        assert_eq!(inflate(&packed(&[&text, &text[..70_000]])), [&text[..], &text[..70_000]].concat());
    }

    #[test]
    fn repetitions_are_small() {
        let text = b"outbound|9080||reviews.default.svc.cluster.local\n".repeat(1000);
        assert!(packed(&[&text]).len() < text.len() / 50);
    }

    #[test]
    fn the_sum_is_the_usual_one() {
        let sum = packed(&[b"123456789"]);
        assert_eq!(sum[sum.len() - 8..sum.len() - 4], 0xcbf4_3926u32.to_le_bytes());
    }
}
