//! `extensions.istio.io`: code and scripts inside the proxy.

mod traffic_extension;
mod wasm_plugin;

pub use traffic_extension::*;
pub use wasm_plugin::*;
