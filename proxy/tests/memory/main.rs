//! The real pipeline with no socket and no clock: connections are pipes in memory, time stands still until
//! everything waits. Each test says what a client and an origin see of one behaviour.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

mod http1;
mod http2;
mod limits;
#[allow(unreachable_pub, dead_code)] // Shared with the benches; not all of it is used here.
mod many;
#[allow(unreachable_pub)] // A module of one test program.
mod support;
mod swap;
mod tcp;
mod timing;
mod tls;
