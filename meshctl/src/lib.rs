//! meshctl: the command line, and the mesh on a laptop.
//!
//! ```text
//!   main -> cli (the command tree) -> cmd/* (one file per command) -> local/   a mesh on this machine
//!                                                                  -> client/  a running mesh's pages
//!                                                                  -> offline/ a mesh on paper: pilot and proxy, pure
//!                                                                  -> install/ what an installation consists of
//!                                                                  -> injection/ proxies put into manifests
//!                                                                  -> render/, proxy_config/  tables
//! ```

pub mod analyzers;
pub mod archive;
pub mod cli;
pub mod client;
pub mod cmd;
pub mod describe;
pub mod globals;
pub mod injection;
pub mod install;
pub mod local;
pub mod offline;
pub mod proxy_config;
pub mod render;
