//! One ADS stream, seen from the client.
//!
//! In: requests of a machine. Out: responses for it, or the status with which the stream ended. The owner's loop is
//! `select` over [`Stream::next`] and its own events, then [`DeltaStream::flush`]. A response of an unknown type is
//! skipped (and would have to be asked for first).

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;

use super::channel::Channel;
use super::frame::{Decoder, framed};
use super::server::Protocol;
use crate::pb::envoy::config::core::v3::Node;
use crate::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use crate::pb::google::rpc::Status as RpcStatus;
use crate::{delta, sotw};

/// A delta ADS stream.
pub type DeltaStream = Stream<delta::Response>;
/// A state-of-the-world ADS stream.
pub type SotwStream = Stream<sotw::Response>;

type Opening = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>> + Send>>;

enum State {
    /// The server may hold its head back until it has something to say.
    Opening(Opening),
    Open(Incoming),
    Ended,
}

/// An ADS stream that yields responses of type `R`.
pub struct Stream<R> {
    requests: mpsc::UnboundedSender<Bytes>,
    state: State,
    decoder: Decoder,
    read: fn(&Bytes) -> Result<Option<R>, Status>,
    /// The node goes with the first request.
    introduced: bool,
}

impl<R> Stream<R> {
    pub(super) fn open(
        channel: &Channel,
        protocol: Protocol,
        headers: http::HeaderMap,
        read: fn(&Bytes) -> Result<Option<R>, Status>,
    ) -> Self {
        let (requests, receiver) = mpsc::unbounded_channel();
        let mut request = Request::new(Body::new(RequestBody(receiver)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(protocol.path());
        *request.headers_mut() = headers;
        let head = request.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        head.insert(header::TE, HeaderValue::from_static("trailers"));
        let state = State::Opening(Box::pin(channel.send(request)));
        Stream { requests, state, decoder: Decoder::default(), read, introduced: false }
    }

    /// The next response. `Err` is how the stream ended (`OK`, too); afterwards it stays ended. May be dropped and
    /// called again.
    pub async fn next(&mut self) -> Result<R, Status> {
        loop {
            if let Some(message) = self.decoder.next().inspect_err(|_| self.state = State::Ended)? {
                if let Some(response) = (self.read)(&message)? {
                    return Ok(response);
                }
                continue;
            }
            match &mut self.state {
                State::Opening(opening) => {
                    let opened = opening.as_mut().await;
                    let opened = opened.map_err(|e| Status::unavailable(chain(&e))).and_then(opened_well);
                    match opened {
                        Ok(body) => self.state = State::Open(body),
                        Err(status) => return Err(self.end(status)),
                    }
                }
                State::Open(body) => match body.frame().await {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(chunk) => self.decoder.push(&chunk),
                        Err(frame) => {
                            let trailers = frame.into_trailers().unwrap_or_default();
                            let status = Status::from_header_map(&trailers);
                            let status = status.unwrap_or_else(|| Status::unknown("no grpc-status"));
                            return Err(self.end(status));
                        }
                    },
                    Some(Err(error)) => return Err(self.end(Status::unavailable(chain(&error)))),
                    None => return Err(self.end(Status::unavailable("the server ended the stream"))),
                },
                State::Ended => return Err(Status::unavailable("the stream has ended")),
            }
        }
    }

    fn end(&mut self, status: Status) -> Status {
        self.state = State::Ended;
        status
    }

    fn push(&mut self, message: Bytes) {
        // If the stream is gone, `next` says so.
        drop(self.requests.send(message));
        self.introduced = true;
    }
}

impl Stream<delta::Response> {
    /// Sends everything that the machine has to say.
    pub fn flush(&mut self, client: &mut delta::Client, node: &Node) {
        for request in client.drain() {
            self.send(&request, node);
        }
    }

    /// Sends one request.
    pub fn send(&mut self, request: &delta::Request, node: &Node) {
        let Some(kind) = request.kind else { return };
        let texts = |names: &[std::sync::Arc<str>]| names.iter().map(ToString::to_string).collect();
        let versions = request.initial_versions.iter();
        let message = DeltaDiscoveryRequest {
            node: (!self.introduced).then(|| node.clone()),
            type_url: kind.type_url().into(),
            resource_names_subscribe: texts(&request.subscribe),
            resource_names_unsubscribe: texts(&request.unsubscribe),
            initial_resource_versions: versions.map(|(name, v)| (name.to_string(), v.to_string())).collect(),
            response_nonce: request.nonce.to_string(),
            error_detail: rpc_status(request.error.as_ref()),
            ..DeltaDiscoveryRequest::default()
        };
        self.push(framed(&message));
    }
}

impl Stream<sotw::Response> {
    /// Sends everything that the machine has to say.
    pub fn flush(&mut self, client: &mut sotw::Client, node: &Node) {
        for request in client.drain() {
            self.send(&request, node);
        }
    }

    /// Sends one request.
    pub fn send(&mut self, request: &sotw::Request, node: &Node) {
        let Some(kind) = request.kind else { return };
        let message = DiscoveryRequest {
            version_info: request.version.to_string(),
            node: (!self.introduced).then(|| node.clone()),
            resource_names: request.names.iter().map(ToString::to_string).collect(),
            type_url: kind.type_url().into(),
            response_nonce: request.nonce.to_string(),
            error_detail: rpc_status(request.error.as_ref()),
            ..DiscoveryRequest::default()
        };
        self.push(framed(&message));
    }
}

fn rpc_status(error: Option<&delta::Failure>) -> Option<RpcStatus> {
    error.map(|error| RpcStatus { code: error.code, message: error.message.clone(), details: Vec::new() })
}

/// hyper's errors hide the interesting part in their source.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn opened_well(response: http::Response<Incoming>) -> Result<Incoming, Status> {
    if response.status() != http::StatusCode::OK {
        return Err(Status::unavailable(format!("the server answered HTTP {}", response.status())));
    }
    match Status::from_header_map(response.headers()) {
        Some(status) => Err(status),
        None => Ok(response.into_body()),
    }
}

struct RequestBody(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
