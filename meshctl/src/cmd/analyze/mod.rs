//! `meshctl analyze`: everything that is wrong with files and with the running mesh, also across objects.
//!
//! `run` gathers objects and findings, `shown` decides which findings are told, and how.

mod run;
mod shown;

pub use run::{Analyze, run};
