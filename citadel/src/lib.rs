//! Door of this crate.
