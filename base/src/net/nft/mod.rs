//! nftables as netlink messages: tables, chains and rules made of a small closed set of matches and actions.
//!
//! In: `Match` and `Action` values, in a `Ruleset` or added one by one. Out: one atomic batch: either all of it is in
//! force afterwards or nothing of it; or the same rules as text (`text`). Sets and maps are not used: the rule sets here
//! are small, and a rule that reads like a sentence is easier to check. Called by `intercept` and by the laptop mesh's
//! service table.

mod batch;
mod encode;
mod model;
mod text;

pub use batch::{At, Batch};
pub use model::{Action, Chain, Family, Hook, Interface, L4, Match, Rule, Ruleset, State, Table};
