//! The serving door of ADS.
//!
//! In: an HTTP/2 request for one of the two ADS methods. Out: a [`Session`], its requests decoded and its responses
//! sent as ropes under HTTP/2's flow control, and the response to give to hyper at once. Who may call is decided before,
//! by whoever owns the connection; what to say, by `delta::Server` and `sotw::Server`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use hyper_util::rt::TokioTimer;
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::{Code, Status};

use super::channel::Exec;
use super::encode;
use super::frame::{Decoder, refuse, response};
use crate::delta::Failure;
use crate::kind::Kind;
use crate::pb::envoy::config::core::v3::Node;
use crate::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use crate::{delta, sotw};

const DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const SOTW: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/// Which of the two protocols a call speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `DeltaAggregatedResources`
    Delta,
    /// `StreamAggregatedResources`
    Sotw,
}

impl Protocol {
    /// The protocol of a request path; `None` if it is no ADS method.
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            DELTA => Some(Protocol::Delta),
            SOTW => Some(Protocol::Sotw),
            _ => None,
        }
    }

    /// The method's path.
    pub fn path(self) -> &'static str {
        match self {
            Protocol::Delta => DELTA,
            Protocol::Sotw => SOTW,
        }
    }
}

/// One open stream.
pub enum Session {
    /// Incremental.
    Delta(Inbound<delta::Request>, Responder<delta::Response>),
    /// State of the world.
    Sotw(Inbound<sotw::Request>, Responder<sotw::Response>),
}

/// A decoded request.
#[derive(Debug)]
pub struct Message<Q> {
    /// For the machine. Its `kind` is `None` if we do not know the type.
    pub request: Q,
    /// As the client wrote it, to name an unknown one.
    pub type_url: String,
    /// Who asks: in a stream's first request, at least.
    pub node: Option<Box<Node>>,
}

/// The requests of a stream.
pub struct Inbound<Q> {
    body: Pin<Box<dyn http_body::Body<Data = Bytes, Error = Status> + Send>>,
    decoder: Decoder,
    read: fn(Bytes) -> Result<Message<Q>, Status>,
}

/// The sending half of a stream. Dropping it ends the stream with `OK`.
pub struct Responder<R> {
    pieces: mpsc::UnboundedSender<Piece>,
    control_plane: Arc<str>,
    write: fn(&R, &str) -> Vec<Bytes>,
}

enum Piece {
    Data(Bytes),
    End(Status),
}

/// Opens the stream of an ADS request. `control_plane` is the identifier shown in every response.
pub fn accept<B>(
    request: http::Request<B>,
    control_plane: &Arc<str>,
) -> Result<(Session, http::Response<Body>), Box<http::Response<Body>>>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let Some(protocol) = Protocol::of_path(request.uri().path()) else {
        let text = format!("unknown method {}", request.uri().path());
        return Err(Box::new(refuse(&Status::unimplemented(text))));
    };
    let body = request.into_body().map_err(|error| Status::unavailable(error.to_string()));
    let body = Box::pin(body);
    // Unbounded in type only: the machines keep one response per kind unanswered.
    let (pieces, receiver) = mpsc::unbounded_channel();
    let control_plane = control_plane.clone();
    let session = match protocol {
        Protocol::Delta => Session::Delta(
            Inbound { body, decoder: Decoder::default(), read: read_delta },
            Responder { pieces, control_plane, write: encode::delta_response },
        ),
        Protocol::Sotw => Session::Sotw(
            Inbound { body, decoder: Decoder::default(), read: read_sotw },
            Responder { pieces, control_plane, write: encode::sotw_response },
        ),
    };
    Ok((session, response(Body::new(RopeBody { pieces: receiver, ended: false }))))
}

/// hyper's HTTP/2 server with the limits and pings that xDS and the CA need; serves plain or TLS streams alike.
pub fn http2() -> hyper::server::conn::http2::Builder<Exec> {
    let mut builder = hyper::server::conn::http2::Builder::new(Exec);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(1000)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    builder
}

impl<Q> Inbound<Q> {
    /// The next request; `None` when the client ended the stream.
    pub async fn next(&mut self) -> Option<Result<Message<Q>, Status>> {
        loop {
            match self.decoder.next() {
                Ok(Some(message)) => return Some((self.read)(message)),
                Ok(None) => {}
                Err(status) => return Some(Err(status)),
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(chunk) = frame.into_data() {
                        self.decoder.push(&chunk);
                    }
                }
                Err(status) => return Some(Err(status)),
            }
        }
    }
}

impl<R> Responder<R> {
    /// Queues a response. False if the client is gone.
    pub fn send(&self, response: &R) -> bool {
        let pieces = (self.write)(response, &self.control_plane);
        pieces.into_iter().all(|piece| self.pieces.send(Piece::Data(piece)).is_ok())
    }

    /// Resolves when the client is gone.
    pub async fn closed(&self) {
        self.pieces.closed().await;
    }

    /// Ends the stream with a status.
    pub fn finish(self, status: Status) {
        // The client may be gone already, and then it does not care.
        drop(self.pieces.send(Piece::End(status)));
    }
}

struct RopeBody {
    pieces: mpsc::UnboundedReceiver<Piece>,
    ended: bool,
}

impl http_body::Body for RopeBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let status = match ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Data(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Piece::End(status)) => status,
            None => Status::new(Code::Ok, ""),
        };
        self.ended = true;
        let mut trailers = http::HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}

fn arcs(names: Vec<String>) -> Vec<Arc<str>> {
    names.into_iter().map(Arc::from).collect()
}

fn failure(status: Option<crate::pb::google::rpc::Status>) -> Option<Failure> {
    status.map(|status| Failure { code: status.code, message: status.message })
}

fn bad(error: prost::DecodeError) -> Status {
    Status::invalid_argument(format!("request does not decode: {error}"))
}

fn read_delta(bytes: Bytes) -> Result<Message<delta::Request>, Status> {
    let message = DeltaDiscoveryRequest::decode(bytes).map_err(bad)?;
    let versions = message.initial_resource_versions.into_iter();
    let request = delta::Request {
        kind: Kind::from_type_url(&message.type_url),
        subscribe: arcs(message.resource_names_subscribe),
        unsubscribe: arcs(message.resource_names_unsubscribe),
        initial_versions: versions.map(|(name, version)| (name.into(), version.into())).collect(),
        nonce: message.response_nonce.into(),
        error: failure(message.error_detail),
    };
    Ok(Message { request, type_url: message.type_url, node: message.node.map(Box::new) })
}

fn read_sotw(bytes: Bytes) -> Result<Message<sotw::Request>, Status> {
    let message = DiscoveryRequest::decode(bytes).map_err(bad)?;
    let request = sotw::Request {
        kind: Kind::from_type_url(&message.type_url),
        names: arcs(message.resource_names),
        version: message.version_info.into(),
        nonce: message.response_nonce.into(),
        error: failure(message.error_detail),
    };
    Ok(Message { request, type_url: message.type_url, node: message.node.map(Box::new) })
}
