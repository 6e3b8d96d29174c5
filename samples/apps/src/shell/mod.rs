//! A small shell and the few small programs that the documented tasks call in a pod: images of the samples hold
//! nothing but this program, and `kubectl exec POD -- sh -c '(date; sleep 1) | nc tcp-echo 9000'` must work in them.
//!
//! In: the process's arguments, by the name it was called by. Out: an exit status, or nothing if the name is not one of
//! these. Called by `main` before anything else. What the shell does not know it refuses by name.

mod parse;
mod run;
mod small;

pub use small::called;
