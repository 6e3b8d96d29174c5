//! Choosing an endpoint: pure functions of a set, a hint and random bits.

mod hash;

pub use hash::*;
