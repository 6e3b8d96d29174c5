//! Archives: `.tar.gz` files, written as their contents come.
//!
//! In: names and bytes. Out: a file that `tar xzf` reads. Nothing is kept in memory but the entry that is being written.
//! Called by `bug-report`.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

/// An archive that is being written.
pub struct TarGz<W: Write> {
    tar: Builder<GzEncoder<W>>,
    /// Seconds since 1970, of all entries.
    time: u64,
}

impl<W: Write> TarGz<W> {
    /// An archive whose entries all have this time (seconds since 1970).
    pub fn new(out: W, time: u64) -> Self {
        Self { tar: Builder::new(GzEncoder::new(out, Compression::default())), time }
    }

    /// Adds a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn file(&mut self, name: &str, body: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(self.time);
        self.tar.append_data(&mut header, name, body)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> io::Result<W> {
        let mut out = self.tar.into_inner()?.finish()?;
        out.flush()?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(120));
        let files = [("a/b.txt", b"hello".repeat(1000)), (long.as_str(), Vec::new())];
        let mut archive = TarGz::new(Vec::new(), 1_700_000_000);
        for (name, body) in &files {
            archive.file(name, body).unwrap();
        }
        let bytes = archive.finish().unwrap();
        let mut read = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        let mut entries = read.entries().unwrap();
        for (name, body) in &files {
            let mut entry = entries.next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap().to_str(), Some(*name));
            assert_eq!(entry.header().mtime().unwrap(), 1_700_000_000);
            let mut text = Vec::new();
            entry.read_to_end(&mut text).unwrap();
            assert_eq!(&text, body);
        }
        assert!(entries.next().is_none());
    }
}
