//! tar (POSIX ustar) inside gzip.
//!
//! In: entries, one after another. Out: the archive. Names of more than 100 bytes are split at a slash, as the format has
//! it; one that cannot be split is an error.

use std::io::{self, Write};

use super::gzip::Gzip;

const BLOCK: usize = 512;

/// An archive that is being written.
pub struct TarGz<W> {
    gzip: Gzip<W>,
    /// Seconds since 1970, of all entries.
    time: u64,
}

impl<W: Write> TarGz<W> {
    /// An archive whose entries all have this time (seconds since 1970).
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(out: W, time: u64) -> io::Result<Self> {
        Ok(Self { gzip: Gzip::new(out)?, time })
    }

    /// Adds a file.
    ///
    /// # Errors
    /// It cannot be written, or its name is too long.
    pub fn file(&mut self, name: &str, body: &[u8]) -> io::Result<()> {
        let mut entry = self.header(name, body.len())?.to_vec();
        entry.extend_from_slice(body);
        entry.resize(entry.len().next_multiple_of(BLOCK), 0);
        self.gzip.write(&entry)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.gzip.write(&[0; 2 * BLOCK])?;
        self.gzip.finish()
    }

    fn header(&self, name: &str, size: usize) -> io::Result<[u8; BLOCK]> {
        let (prefix, name) =
            split(name).ok_or_else(|| io::Error::other(format!("{name}: the name is too long")))?;
        let mut header = [0; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000644\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{size:011o}\0"));
        put(136, &format!("{:011o}\0", self.time));
        // The sum counts itself as blanks.
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\0");
        put(263, "00");
        put(345, prefix);
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        Ok(header)
    }
}

/// A prefix of at most 155 bytes and a rest of at most 100.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    let fits = |(at, _): &(usize, &str)| *at <= 155 && name.len() - at - 1 <= 100;
    let (at, _) = name.match_indices('/').find(fits)?;
    Some((name.get(..at)?, name.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::super::gzip::tests::inflate;
    use super::*;

    #[test]
    fn entries_are_blocks() {
        let mut archive = TarGz::new(Vec::new(), 1_700_000_000).unwrap();
        archive.file("a/b.txt", b"hello").unwrap();
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(60));
        archive.file(&long, &[b'x'; 600]).unwrap();
        let bytes = inflate(&archive.finish().unwrap());
        assert_eq!(bytes.len(), (1 + 1 + 1 + 2 + 2) * BLOCK);
        assert!(bytes.starts_with(b"a/b.txt\0") && bytes[512..].starts_with(b"hello\0"));
        assert_eq!(&bytes[257..265], b"ustar\x0000");
        let sum: u32 = bytes[..512]
            .iter()
            .enumerate()
            .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
            .sum();
        assert_eq!(&bytes[148..154], format!("{sum:06o}").as_bytes());
        assert!(bytes[1024..].starts_with(&[b'f'; 60]) && bytes[1024 + 345..].starts_with(&[b'd'; 90]));
        assert!(TarGz::new(Vec::new(), 0).unwrap().file(&"x".repeat(101), b"").is_err());
    }
}
