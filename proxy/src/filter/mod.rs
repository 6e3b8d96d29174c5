//! The closed set of HTTP filters. One file each: settings, what it does, tests.

mod list;

pub use list::*;
