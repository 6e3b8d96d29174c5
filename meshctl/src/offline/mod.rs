//! A mesh on paper: what `up` would make of files, what pilot would say of it, what a proxy would do with that.
//!
//! ```text
//!   texts -> plan (pods, Services, as `up` plans them) -> pilot::offline::Paper -> resources   x dump
//!                                    resources -> proxy::xds::Store -> Config -> decide         x decide
//! ```
//! Nothing runs and nothing is written; the same files give the same answer.

mod answer;
mod decide;
mod plan;
mod proxy;
mod request;

pub use answer::{Answer, Endpoint};
pub use decide::decide;
pub use plan::{Plan, model_findings};
pub use proxy::{Proxy, dump};
pub use request::Request;
