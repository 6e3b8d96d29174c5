//! `meshctl x`: commands that may still change. Offline today: they need no mesh, only files.
//!
//! `command` is the door's own command line; one file for each command.

mod command;
mod decide;
mod dump;

pub use command::{Experimental, run};
