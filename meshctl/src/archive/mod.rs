//! Archives: `.tar.gz` files, written as their contents come.
//!
//! In: names and bytes. Out: a file that `tar xzf` reads. Nothing is kept in memory but the entry that is being written.
//! `tar` has the headers, `gzip` the compression. Called by `bug-report`.

mod gzip;
mod tar;

pub use tar::TarGz;
