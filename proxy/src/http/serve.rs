//! Serving one HTTP connection.

use std::rc::Rc;
use std::sync::Arc;

use crate::config::{Chain, HttpChain, Listener};
use crate::io::Stream;
use crate::observe::Conn;
use crate::worker::Worker;

/// One accepted connection, as `listen` hands it over.
pub struct Served {
    pub stream: Stream,
    pub conn: Arc<Conn>,
    pub listener: Arc<Listener>,
    pub chain: Arc<Chain>,
}

/// Serves HTTP on a connection until it ends or is drained. The codec follows the chain's setting, the agreed
/// ALPN, then the first bytes. Never fails: what goes wrong is in the facts of a request, or nobody's business.
pub async fn serve(worker: Rc<Worker>, served: Served, http: Arc<HttpChain>) {
    let _ = (worker, served, http);
}
