//! How answers look on a terminal: tables in the manner of istioctl and kubectl. Pure text in, pure text out.

mod table;

pub use table::Table;
