//! `meshctl proxy-config`: what one proxy holds, with istioctl's commands, flags and columns.
//!
//! `args` is the command line, `run` answers it, `source` fetches the pages (or reads a file), `log` changes log
//! levels. The tables are in `crate::proxy_config`.

mod args;
mod log;
mod run;
mod source;

pub use args::ProxyConfig;
pub use run::run;
pub(super) use source::read;
