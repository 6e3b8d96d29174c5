//! Routing as a pure function: Config and request head in, Decision out. No I/O, no clock.

mod decision;

pub use decision::*;
