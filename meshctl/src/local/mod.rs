//! The laptop mesh: ordinary Kubernetes manifests as local processes, each pod in a network of its own.
//!
//! ```text
//!   up -> input -> apply -> World -> reconcile -> pod -> container -> probe      what runs
//!          (text)  (findings) (lock)    |          +-> plan, inject, images, volumes
//!                                       +-> services -> translate, dns, broker, config_dir (pilot)   what all know
//!   control <- get, apply, logs, exec, ...         wall: namespaces, sockets, processes
//! ```

pub mod addresses;
pub mod apply;
pub mod broker;
pub mod client;
pub mod config_dir;
pub mod container;
pub mod control;
pub mod dns;
pub mod egress;
pub mod ground;
pub mod images;
pub mod inject;
pub mod input;
pub mod logs;
pub mod mesh;
pub mod paths;
pub mod plan;
pub mod pod;
pub mod probe;
pub mod protocol;
pub mod ready;
pub mod reconcile;
pub mod renew;
pub mod resources;
pub mod runnable;
pub mod sandbox;
pub mod screen;
pub mod services;
pub mod settle;
pub mod system;
pub mod terminal;
pub mod translate;
pub mod up;
pub mod volumes;
pub mod wall;
pub mod workloads;
pub mod world;
