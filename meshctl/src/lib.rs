//! meshctl: the command line, and the mesh on a laptop.
//!
//! ```text
//!   main -> cli (the command tree) -> cmd/* (one file per command) -> local/ (a mesh on this machine)
//!                                                                  -> render/ (tables, JSON path)
//! ```

pub mod cli;
pub mod cmd;
pub mod local;
pub mod proxy_config;
pub mod render;
