//! The documented tasks on a laptop mesh, driven through `meshctl` and HTTP only, and what only a laptop does.
//! One test program, so that the harness is linked once; one mesh per test, so that none sees another's objects.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

mod lifecycle;
#[path = "../scenarios/mod.rs"]
mod scenarios;
mod workloads;

pub(crate) use e2e::laptop::Laptop as Mesh;
