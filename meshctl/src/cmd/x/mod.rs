//! `meshctl x`: commands that may still change. `dump` and `decide` need no mesh, only files; the others look at one.
//!
//! `command` is the door's own command line; one file for each command.

mod authz;
mod check_inject;
mod command;
mod debug;
mod decide;
mod dump;
mod injector;
mod metrics;
mod stats;

pub use command::{Experimental, run};
