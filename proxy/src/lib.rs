//! The data-plane proxy.
//!
//! ```text
//!  learns:   xds --Resource--> compile(lower, link) --Config--> Live<Config>
//!  acts:     listen -> tls -> http|tcp -> router -> filter -> cluster -> balance -> pool -> upstream
//!  tells:    observe (facts -> log, metrics, span), admin, fail
//! ```
//!
//! Threads: one control thread (xDS, compile, identity, admin, DNS, export) and one worker per core, each a
//! current-thread runtime with its own pools and metric shards. A worker reads one atomic per request: the Config.

pub mod admin;
pub mod app;
pub mod ask;
pub mod balance;
pub mod cluster;
pub mod compile;
pub mod config;
pub mod dice;
pub mod dns;
pub mod fail;
pub mod filter;
pub mod h1;
pub mod http;
pub mod identity;
pub mod intercept;
pub mod io;
pub mod listen;
pub mod observe;
pub mod overload;
pub mod pool;
pub mod process;
pub mod rehearse;
pub mod router;
pub mod settings;
pub mod status;
pub mod tcp;
pub mod tls;
pub mod upstream;
pub mod worker;
pub mod xds;
