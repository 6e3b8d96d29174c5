//! Ambiguity: thousands of raw connections through both planes, in front of an origin that keeps every byte. What our
//! proxy forwards is judged by an oracle written from the standard alone; how it answers is compared with Envoy.

mod answers;
mod attacks;
mod backend;
mod certs;
mod corpus;
mod kinds;
mod lists;
mod oracle;
mod pieces;
mod requests;
mod responses;
mod settings;
mod stage;
mod streams;
mod talk;
mod verdict;

pub(crate) use kinds::rows;
