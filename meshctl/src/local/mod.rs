//! The laptop mesh: ordinary Kubernetes manifests as local processes, each in a network of its own.

pub mod wall;
