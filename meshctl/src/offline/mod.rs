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
pub use plan::Plan;
pub use proxy::{Proxy, dump};
pub use request::Request;

use api::{AnyObject, Findings};

/// What is only wrong when all objects are looked at together. `planned` are the objects as a control plane has
/// them, pods included.
pub fn model_findings(planned: impl IntoIterator<Item = AnyObject>) -> Findings {
    pilot::offline::Paper::of(planned).findings
}
