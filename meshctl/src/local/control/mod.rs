//! The control socket: commands ask, the running mesh answers.
//!
//! `server` accepts and dispatches, `objects` shows and changes what was written, `pods` reads logs, runs commands
//! and dials inside pods. One blocking thread per connection: there are few, and they may follow logs for hours.

mod objects;
mod pods;
mod server;

pub use server::serve;
