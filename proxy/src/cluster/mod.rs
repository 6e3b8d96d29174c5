//! The live side of clusters: limits, ejections and endpoint state, which survive new settings.

mod dns;
mod limits;
mod live;
mod outlier;

pub use dns::DnsTable;
pub use limits::{Limit, Permit};
pub use live::*;
pub use outlier::{Outcome, OutlierSettings};
