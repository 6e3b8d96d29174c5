//! Go templates: those of the charts and those of the injector's ConfigMap.
//!
//! ```text
//!   text --Program::parse--> Program --render(values)--> text, or what is wrong with template and line
//! ```
//! `functions` are Helm's, `more` what templates of users have from the same library; both work on values alone.
//! Called by `webhook::inject` and by meshctl's renderer of charts.

mod functions;
mod more;
mod program;

pub(crate) use functions::AS_JSON;
pub use functions::{Args, Function, failed, from_json, functions, merge_over, text, to_json, yaml};
pub use program::Program;
