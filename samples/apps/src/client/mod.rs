//! Clients: `request` is one HTTP request with curl's flags, `fetch` repeats it and counts answers, `load`
//! repeats it fast and measures, `tcp` sends lines. `args` holds the flags that all HTTP clients share.
//! They exist so that tasks and tests need nothing installed on the machine.

mod args;
mod cookies;
pub mod fetch;
pub mod histogram;
pub mod load;
mod pacer;
pub mod request;
pub mod tcp;

pub use args::{Outcome, RequestArgs};
