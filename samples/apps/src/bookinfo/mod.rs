//! Bookinfo: productpage calls details, then reviews; reviews (v2, v3) calls ratings; ratings v2 asks
//! ratings-db. Environment, paths, messages, timeouts and the deliberate bug (productpage waits 3 s twice for
//! reviews, which waits 10 s for ratings) are the documented ones. Each service is a function of its settings
//! and a listener, so that tests run all of them in one process.

pub mod details;
mod forward;
mod page;
pub mod productpage;
pub mod ratings;
pub mod ratings_db;
pub mod reviews;
mod session;
mod upstream;

pub use upstream::Upstream;
