//! What people write: typed resources, defaults, validation. No I/O, no mesh logic.
//!
//! ```text
//!   text --parse--> AnyObject --check--> Valid<T>        (pilot, meshctl, webhook)
//!            |                    |
//!            +---- Finding -------+                      (validate, apply, admission, status)
//!
//!   networking   VirtualService DestinationRule Gateway ServiceEntry Sidecar WorkloadEntry/Group EnvoyFilter ProxyConfig
//!   security     PeerAuthentication AuthorizationPolicy RequestAuthentication
//!   telemetry    Telemetry          extensions  WasmPlugin TrafficExtension
//!   gateway      Gateway HTTPRoute GRPCRoute TLSRoute ...: Kubernetes' Gateway API
//!   mesh         MeshConfig with ProxyConfig, MeshNetworks: settings, no objects
//!   core         Service Pod Deployment ConfigMap Secret ...: Kubernetes' own, in the fields that are used here
//! ```
//!
//! The list of kinds is in `kind.rs`; each kind has one file. Mistakes are data: `finding.rs`.

#![forbid(unsafe_code)]

#[macro_use]
mod shape;

mod code;
pub mod core;
pub mod crd;
pub mod de;
pub mod emit;
pub mod extensions;
pub mod fields;
pub mod finding;
pub mod gateway;
pub mod honoured;
pub mod host;
pub mod kind;
pub mod mesh;
pub mod meta;
pub mod networking;
pub mod object;
pub mod parse;
pub mod path;
pub mod port;
pub mod security;
pub mod selector;
pub mod telemetry;
pub mod text;
pub mod time;
pub mod valid;
pub mod yaml;

pub use finding::{Code, Finding, Findings, Severity};
pub use kind::Kind;
pub use meta::Meta;
pub use object::{AnyObject, Key, Object, Origin, Spec};
pub use parse::{Parsed, parse, parse_in};
pub use path::FieldPath;
pub use port::Protocol;
pub use time::{Duration, Time};
pub use valid::{Check, Valid};
