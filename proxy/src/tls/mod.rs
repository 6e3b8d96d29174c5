//! TLS of both sides: settings as compiled, made into rustls objects behind this door only.

mod settings;

pub use settings::*;
