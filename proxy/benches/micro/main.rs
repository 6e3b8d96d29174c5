//! What the pure steps and a whole request cost. `cargo xtask bench --micro [FILTER]`.
//!
//! In: hand-made configurations. Out: Criterion's report. One program, so that it links once.

// A bench that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

mod compile;
mod decide;
#[allow(unreachable_pub)] // Shared with the tests in memory.
#[path = "../../tests/memory/many.rs"]
mod many;
mod pick;
mod serve;
#[allow(unreachable_pub, dead_code)] // Shared with the tests in memory; not all of it is used here.
#[path = "../../tests/memory/support.rs"]
mod support;

criterion::criterion_group!(all, decide::bench, pick::bench, compile::bench, serve::bench);
criterion::criterion_main!(all);
