//! `meshctl proxy-config`: what one proxy holds, as tables and JSON. In: the JSON of a proxy's admin pages (or a file
//! of it). Out: text. Pure; who fetches the pages is `cmd`. Columns and flags follow istioctl.

mod clusters;
mod compare;
mod dump;
mod endpoints;
mod listeners;
mod policies;
mod rest;
mod routes;
mod secrets;

pub use clusters::{ClusterFilter, clusters};
pub use compare::compare;
pub use dump::{Dump, Form, text};
pub use endpoints::{EndpointFilter, eds, endpoints};
pub use listeners::{ListenerFilter, listeners};
pub use policies::{authorization, policies};
pub use rest::{bootstrap, ecds, roots, whole};
pub use routes::{RouteFilter, routes};
pub use secrets::secrets;
