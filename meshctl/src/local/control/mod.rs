//! The control socket: commands ask, the running mesh answers.
//!
//! `server` accepts and dispatches, `objects` shows (`shown`) and changes what was written, `logs` reads what containers print,
//! `pods` runs commands and dials inside pods. One blocking thread per connection: there are few, and they may follow logs for hours.

mod logs;
mod objects;
mod pods;
mod selector;
mod server;
mod shown;

pub use server::serve;
