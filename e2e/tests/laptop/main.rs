//! The documented tasks on a laptop mesh, each with its documented outcome, driven through `meshctl` and HTTP only.
//! One test program, so that the harness is linked once; one mesh per test, so that none sees another's objects.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

mod edges;
mod ingress;
mod lifecycle;
mod routing;
mod security;
mod tcp;
mod telemetry;
mod workloads;
