//! pilot, proxies and others' clients as processes on loopback.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

mod crowd;
mod floods;
mod grpc;
mod session;
