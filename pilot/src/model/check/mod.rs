//! What only shows when sections are held against each other. Comes in: the world and its snapshot. Goes out:
//! findings, the same for `analyze`, a running pilot and paper tests.

mod across;
mod gateways;
mod rules;
mod sidecars;
mod workloads;

pub(super) use across::across;
