//! Probes and hooks over the network: HTTP, HTTPS, TCP and gRPC health, asked from inside the pod.

mod ask;
mod http;

pub use ask::{FIRST_WAIT, Rhythm, ask, http_get, rhythm, tcp_socket};
