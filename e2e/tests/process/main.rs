//! pilot, proxies and others' clients as processes on loopback.

mod grpc;
mod session;
