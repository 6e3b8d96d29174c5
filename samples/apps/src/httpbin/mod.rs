//! Httpbin: answers with what it was asked, or as the path says. In: any request. Out: JSON of the shape the
//! documented tasks pick fields from (header values are lists, header names in capitals). Most security and
//! ingress tasks call it. `echo` holds the answers about the request, `make` those made to order, `stream` those
//! that take their time. `/ws-echo` answers any `Upgrade` with 101 and echoes the bytes that follow.

mod echo;
mod make;
mod serve;
mod stream;

pub use serve::{Httpbin, HttpbinArgs, run};
