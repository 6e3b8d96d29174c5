//! How answers look on a terminal: tables in the manner of istioctl and kubectl, single values by JSON path.
//! Pure text in, pure text out.

pub mod jsonpath;
pub mod objects;
mod table;

pub use table::Table;
