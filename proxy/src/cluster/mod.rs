//! The live side of clusters: limits, ejections and endpoint state, which survive new settings.

mod live;

pub use live::*;
