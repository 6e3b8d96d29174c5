//! Copies of requests that nobody waits for: sent when the request's body is complete, answers thrown away.
//!
//! In: the copies that `route` planned, the body as it was kept for repetition. Out: requests on tasks of their own.
//! Nothing of them reaches the client.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::Instant;

use super::body::{Pump, Side, Stream2};
use super::context::{Exchange, Session};
use super::replay::Replay;
use super::up::{Outgoing, Up};
use crate::balance::Hint;
use crate::cluster::Limit;
use crate::config::{Cluster, HttpChain, UpstreamHttp};
use crate::filter::alpn;
use crate::h1::Length;
use crate::pool::{Lane, Want, checkout};
use crate::upstream::transport;
use crate::worker::Worker;

/// A copy that takes longer is given up; Envoy uses the route's timeout.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where a copy goes.
pub(crate) struct Copy {
    pub(crate) cluster: Arc<Cluster>,
    /// Say in the host that it is a copy.
    pub(crate) shadow: bool,
}

struct Request {
    method: Method,
    https: bool,
    authority: String,
    path: Arc<str>,
    headers: HeaderMap,
    body: Vec<Bytes>,
    /// Its filters say which ALPN protocols are offered.
    http: Arc<HttpChain>,
}

/// Sends what is complete, and forgets the list.
pub(crate) fn send(session: &Session, exchange: &Exchange, copies: &mut Vec<Copy>, upload: &Pump) {
    if copies.is_empty() || !upload.is_read() {
        return;
    }
    let body = match &upload.replay {
        None => Vec::new(),
        Some(replay) => match replay.whole() {
            Some(pieces) => pieces.to_vec(),
            // Too long to keep: no copy.
            None => return copies.clear(),
        },
    };
    for copy in copies.drain(..) {
        let suffix = if copy.shadow { "-shadow" } else { "" };
        let (host, port) = match exchange.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
            _ => (&*exchange.authority, None),
        };
        let authority = match port {
            Some(port) => format!("{host}{suffix}:{port}"),
            None => format!("{host}{suffix}"),
        };
        let request = Request {
            method: exchange.facts.method.clone(),
            https: exchange.https,
            authority,
            path: exchange.path.clone(),
            headers: exchange.facts.request_headers.clone(),
            body: body.clone(),
            http: session.http.clone(),
        };
        let worker = session.worker.clone();
        tokio::task::spawn_local(async move {
            // Whatever comes of it is nobody's concern.
            tokio::time::timeout(PATIENCE, run(worker, copy.cluster, request)).await.ok();
        });
    }
}

async fn run(worker: Rc<Worker>, cluster: Arc<Cluster>, request: Request) {
    let endpoint = worker.picker.borrow_mut().pick(&cluster, &Hint::default(), worker.now());
    let Some(endpoint) = endpoint else { return };
    let Some(_permit) = cluster.limits.acquire(Limit::Requests) else { return };
    let lane = if cluster.settings.http == UpstreamHttp::Http2 { Lane::Http2 } else { Lane::Auto };
    let tls = transport(&cluster, &endpoint);
    let alpn = tls.and_then(|_| alpn(&request.http.filters, &cluster, http::Version::HTTP_11));
    let want = Want { cluster: &cluster, endpoint: &endpoint, lane, alpn, sni: None, borrowed: None };
    let Ok(lease) = checkout(&worker, &want).await else { return };
    let size = request.body.iter().map(Bytes::len).sum::<usize>();
    let outgoing = Outgoing {
        method: &request.method,
        https: request.https,
        authority: &request.authority,
        path: &request.path,
        headers: &request.headers,
        length: if size == 0 { Length::None } else { Length::Fixed(size as u64) },
        upgrade: false,
        version: http::Version::HTTP_11,
    };
    let Ok(mut up) = Up::send(lease, outgoing).await else { return };
    let mut upload = match size {
        0 => Pump::flush_only(),
        _ => Pump::again(Replay::of(request.body)),
    };
    let mut nowhere = Stream2::default();
    let sent = poll_fn(|cx| upload.poll(cx, &mut Side::H2(&mut nowhere), &mut up.side())).await;
    let answer = match sent {
        Ok(()) => poll_fn(|cx| up.poll_head(cx, &request.method, &mut false)).await,
        Err(_) => return up.abort(),
    };
    match answer {
        Ok(_) if drained(&mut up).await => up.finish(Instant::now()),
        _ => up.abort(),
    }
}

/// Reads a body and throws it away; true when the end came.
async fn drained(up: &mut Up) -> bool {
    loop {
        match poll_fn(|cx| up.side().poll_waste(cx)).await {
            Ok(true) => {}
            Ok(false) => return true,
            Err(_) => return false,
        }
    }
}
