//! `meshctl analyze`: everything that is wrong with files and with the running mesh, also across objects.
//!
//! `run` is the command line and the verdict, `gather` collects objects and findings, `shown` tells them.

mod gather;
mod run;
mod shown;

pub use run::{Analyze, everywhere, run};
