//! What one proxy obeys: immutable, compiled, indexed. Made by `compile`, published through `base::Live`,
//! read by `listen`, `router` and `http`. No I/O, no protobuf, no names of API families in here.

mod chain;
mod cluster;
mod endpoint;
mod listener;
mod root;
mod route;
mod text;

pub use chain::*;
pub use cluster::*;
pub use endpoint::*;
pub use listener::*;
pub use root::*;
pub use route::*;
pub use text::*;
