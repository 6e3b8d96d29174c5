//! How answers look on a terminal: tables in the manner of istioctl and kubectl, single values by JSON path, line
//! diffs. Pure text in, pure text out.

mod diff;
pub mod jsonpath;
pub mod objects;
mod table;

pub use diff::diff;
pub use table::Table;
