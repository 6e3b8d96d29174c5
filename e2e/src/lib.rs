//! The harness of the tests that need more than one component.
//!
//! `laptop` drives a whole mesh through `meshctl` and HTTP only, as a user would; `cluster` a Kubernetes through kubectl,
//! `installed` a mesh on it; `driven` is what a test does with either.
//! Nothing depends on this crate.
//! Programs are found through `MESH_BIN_DIR` (set by `cargo xtask test`), samples through `MESH_SAMPLES`.

pub mod bootstrapped;
pub mod caller;
pub mod client;
pub mod cluster;
pub mod control;
pub mod crowd;
pub mod door;
pub mod driven;
pub mod frames;
pub mod installed;
pub mod laptop;
pub mod load;
pub mod netns;
pub mod origin;
pub mod origin2;
pub mod paper;
pub mod planes;
pub mod process;
pub mod programs;
pub mod until;
