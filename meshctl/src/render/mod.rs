//! How answers look on a terminal: tables in the manner of istioctl and kubectl, single values by JSON path, line
//! diffs. Pure text in, pure text out.

mod diff;
mod glob;
pub mod jsonpath;
pub mod objects;
mod table;

pub use diff::diff;
pub use glob::glob;
pub use table::Table;
