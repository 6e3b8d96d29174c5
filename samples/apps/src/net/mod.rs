//! HTTP and TCP under all the applications: `serve` accepts and answers, `call` dials, `link` asks, `failure` says
//! why not, `reply` makes answers, `access` writes the line per request, `form` decodes queries, `tls` makes
//! TLS configurations. No application's name is known here.

mod access;
mod call;
mod failure;
mod form;
mod link;
mod reply;
mod serve;
mod time;
mod tls;

pub use call::{Dialing, Pin};
pub use failure::CallError;
pub use form::{decode, pairs};
pub use link::{Link, read_all};
pub use reply::{Body, Reply, empty, full, html, json, pretty, text};
pub use serve::{App, Call, Listen, TlsFacts, ended, pod_name, serve, serve_tls};
pub use time::duration;
pub use tls::{Identity, client_config, identity, self_signed, server_config};
