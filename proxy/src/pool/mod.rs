//! Upstream connections of one worker, kept for reuse: HTTP/1.1 idle ones newest first, HTTP/2 shared ones.
//! `http` checks out, sends, and gives back; limits of the cluster are honoured here.

mod checkout;
mod h1;
mod h2;
mod idle;
mod key;

pub use checkout::{Lease, Pool, checkout};
pub use h1::Single;
pub use h2::Shared;
pub use idle::start_sweeper;
pub use key::{Lane, Want};
