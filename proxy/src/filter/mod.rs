//! The closed set of HTTP filters and of what a route itself does to a request. One file each: settings, what it
//! does, tests. All are pure functions on heads; `http::serve` calls them in the order of the pipeline.

mod alpn;
mod cors;
mod fault;
mod headers;
mod list;
mod mirror;
mod rbac;
mod remote;
mod rewrite;
mod run;

pub use alpn::alpn;
pub use headers::{Fill, request_headers, response_headers, response_headers_of};
pub use list::*;
pub use mirror::mirrors;
pub use rbac::{Asked, Condition, Policy, Rbac, RbacAction, details as rbac_details};
pub use remote::Trust;
pub use rewrite::{finish_host, rewrite};
pub use run::{Step, cors_of, reaches_cors, request_steps, respond};
