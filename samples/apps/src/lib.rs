//! The sample applications: what runs in the pods of `samples/`.
//!
//! ```text
//!  main -> shell (sh, sleep and the like, for images that hold nothing else)
//!       -> app (one subcommand per program)
//!            |-- bookinfo   productpage -> details, reviews -> ratings -> ratings-db
//!            |-- httpbin, helloworld, tcp-, tls-, grpc-echo, spans   servers
//!            `-- http, fetch, tcp, load, grpc-call                   clients
//!                     all of them on
//!          net (serve, call, reply, access, tls)
//! ```
//!
//! They behave as the documented applications of the same names do, start in milliseconds, need a few
//! megabytes, run on one thread, and end on SIGTERM once what they are answering is answered.
//! They know nothing of the mesh: no other crate of this workspace is used here.

pub mod app;
pub mod bookinfo;
pub mod client;
pub mod grpc;
pub mod helloworld;
pub mod httpbin;
pub mod net;
pub mod shell;
pub mod spans;
pub mod tcp_echo;
pub mod tls_echo;
