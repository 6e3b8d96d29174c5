//! Routing as a pure function: Config and request head in, Decision out. No I/O, no clock.
//!
//! `host` finds the virtual host, `matching` tests one rule, `split` draws a weighted share, `redirect` writes a
//! Location, `decide` joins them, `explain` tells why for admin and `meshctl x decide`.

mod decide;
mod decision;
mod explain;
mod host;
mod index;
mod matching;
mod redirect;
mod split;

pub use decide::decide;
pub use decision::*;
pub use explain::{Explanation, Tried, explain};
pub use host::{WildIndex, find_host, host_without_port};
pub use index::PathIndex;
pub(crate) use matching::{bare_path, query_value};
pub use matching::{header_matches, headers_match, rule_matches};
pub(crate) use redirect::rewritten;
