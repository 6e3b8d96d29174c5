//! The live side of clusters: limits, ejections and endpoint state, which survive new settings.
//!
//! `live` is the state, `limits` and `outlier` what is done with it, `dns` the endpoints of clusters that are names.

mod dns;
mod limits;
mod live;
mod outlier;

pub use dns::DnsTable;
pub use limits::{Limit, Permit};
pub use live::*;
pub use outlier::{Outcome, OutlierSettings};
