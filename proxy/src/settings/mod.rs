//! What this process was told at its start: arguments, environment, files of the pod.
//!
//! In: arguments in the manner of `pilot-agent` (`proxy sidecar --domain ...`) or of Envoy (`-c FILE ...`), and the
//! environment. Out: [`Settings`], or every mistake in words. Read once by `main`; nothing else looks at either.

mod agent;
mod app;
mod flags;
mod source;

pub use agent::{Agent, Files};
pub use app::{AppProbe, Check, Scrape};
pub use flags::{Command, Flags, HELP, parse};
pub use source::{Bootstrap, Ports, Settings, Source, VERSION};
