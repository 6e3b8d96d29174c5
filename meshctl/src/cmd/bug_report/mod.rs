//! `meshctl bug-report`: everything that somebody needs to understand a mesh that misbehaves, in one archive.
//!
//! `args` is the command line, `choice` says which pods, `plan` what is fetched of them, `cluster` makes files of objects
//! (without secrets), `run` fetches and writes. Names inside are istioctl's. Size and time are bounded.

mod args;
mod choice;
mod cluster;
mod plan;
mod run;

pub use args::BugReport;
pub use run::run;
