//! pilot as a citizen of a cluster: the authority's key, tokens, locks, what it writes. No pods are needed: pilot runs
//! beside the test with the rights that the chart gives it.

mod analysis;
mod authority;
mod away;
mod leader;
mod settings;
mod tokens;
