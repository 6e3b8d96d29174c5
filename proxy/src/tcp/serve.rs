//! Serving one TCP connection.

use std::rc::Rc;
use std::sync::Arc;

use crate::config::TcpChain;
use crate::http::Served;
use crate::worker::Worker;

/// Relays a connection to the chain's cluster until both sides are done.
pub async fn serve(worker: Rc<Worker>, served: Served, tcp: Arc<TcpChain>) {
    let _ = (worker, served, tcp);
}
