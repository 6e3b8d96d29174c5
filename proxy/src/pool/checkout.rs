//! Checking a connection out of the pool.

use std::rc::Rc;

use crate::worker::Worker;

/// The pool of one worker.
#[derive(Debug, Default)]
pub struct Pool {}

/// Starts the task that closes idle connections.
pub fn start_sweeper(_worker: &Rc<Worker>) {}
