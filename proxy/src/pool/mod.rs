//! Upstream connections of one worker, kept for reuse: HTTP/1.1 idle ones newest first, HTTP/2 shared ones.
//! `http` checks out, sends, and gives back; limits of the cluster are honoured here.

mod checkout;

pub use checkout::{Pool, start_sweeper};
