//! The upstream end of one attempt: the request's head goes out, the response's head comes back, both codecs alike.
//!
//! In: a [`Lease`] of the pool and the head that is left of the request. Out: an [`Answer`], then the connection's two
//! ends for the bodies. Called by `attempt`; given back by `relay`.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::client::ResponseFuture;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use tokio::time::Instant;

use super::body::{Side, Stream2, of_h1, of_h2};
use super::malformed::has_odd_fields;
use crate::fail::Failure;
use crate::h1::{Length, Limits, RequestLine};
use crate::observe::TlsFacts;
use crate::pool::{Lease, Shared, Single};
use crate::upstream::Opened;

/// A request as it goes to the upstream.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a Method,
    pub(crate) https: bool,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) length: Length,
    pub(crate) upgrade: bool,
    /// What the client speaks.
    pub(crate) version: Version,
}

/// Between two of our proxies: the HTTP version of the client before the hop, where it is not HTTP/2. The hop is
/// transport; logs, spans and the choice of version towards the application are about the client's protocol.
const BEFORE: HeaderName = HeaderName::from_static("x-mesh-protocol");

/// Takes the client's version out of a request that came over our own hop; `arrived` where nothing else is said.
pub(crate) fn version_before(tls: Option<&TlsFacts>, headers: &mut HeaderMap, arrived: Version) -> Version {
    if tls.is_none_or(|tls| tls.alpn.as_deref() != Some(MESH_H2)) {
        return arrived;
    }
    match headers.remove(BEFORE).as_ref().map(HeaderValue::as_bytes) {
        Some(b"1.1") => Version::HTTP_11,
        Some(b"1.0") => Version::HTTP_10,
        _ => arrived,
    }
}

/// ALPN of the HTTP/2 hop between our own proxies.
const MESH_H2: &str = "mesh-h2";

/// The head of a response, of either codec.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) length: Length,
    pub(crate) head_bytes: usize,
}

/// One attempt's connection.
pub(crate) enum Up {
    H1(Single),
    H2 { lease: Shared, response: Option<ResponseFuture>, stream: Stream2, waiting: bool },
}

impl Up {
    /// Sends or queues the head on a checked-out connection. An error means that nothing was sent.
    pub(crate) async fn send(lease: Lease, request: Outgoing<'_>) -> Result<Up, Failure> {
        match lease {
            Lease::H1(mut single) => {
                let target =
                    if *request.method == Method::CONNECT { request.authority } else { request.path };
                let line = RequestLine { method: request.method, target, host: request.authority };
                let connection = request.upgrade.then_some("upgrade");
                single.conn.write_request(line, request.headers, request.length, connection);
                Ok(Up::H1(single))
            }
            Lease::H2(mut lease) => {
                let mut head = request_head(request)?;
                let ours = lease.opened.tls.as_ref().is_some_and(|tls| tls.alpn.as_deref() == Some(MESH_H2));
                let before = match request.version {
                    Version::HTTP_11 if ours => Some("1.1"),
                    Version::HTTP_10 if ours => Some("1.0"),
                    _ => None,
                };
                if let Some(before) = before {
                    head.headers_mut().insert(BEFORE, HeaderValue::from_static(before));
                }
                if poll_fn(|cx| lease.send.poll_ready(cx)).await.is_err() {
                    lease.retire();
                    return Err(Failure::UpstreamRefused);
                }
                match lease.send.send_request(head, request.length.is_empty()) {
                    Ok((response, send)) => {
                        let stream = Stream2::writing(send);
                        Ok(Up::H2 { lease, response: Some(response), stream, waiting: false })
                    }
                    Err(_) => {
                        lease.retire();
                        Err(Failure::UpstreamRefused)
                    }
                }
            }
        }
    }

    /// For pumps.
    pub(crate) fn side(&mut self) -> Side<'_> {
        match self {
            Up::H1(single) => Side::H1(&mut single.conn),
            Up::H2 { stream, .. } => Side::H2(stream),
        }
    }

    /// The response's head; of interim responses only `100 Continue` is noted.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        interim: &mut bool,
    ) -> Poll<Result<Answer, Failure>> {
        match self {
            Up::H1(single) => loop {
                let head = ready!(single.conn.poll_response(cx, &Limits::default(), method));
                let head = head.map_err(|error| of_h1(&error))?;
                if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
                    *interim |= head.status == StatusCode::CONTINUE;
                    continue;
                }
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    single.conn.become_tunnel();
                }
                return Poll::Ready(Ok(Answer {
                    status: head.status,
                    headers: head.headers,
                    length: head.length,
                    head_bytes: head.head_bytes,
                }));
            },
            Up::H2 { response, stream, lease, .. } => {
                let Some(pending) = response else { return Poll::Ready(Err(Failure::UpstreamReset)) };
                while let Poll::Ready(Some(Ok(said))) = pending.poll_informational(cx) {
                    *interim |= said.status() == StatusCode::CONTINUE;
                }
                let answer = match ready!(std::pin::Pin::new(pending).poll(cx)) {
                    Ok(answer) => answer,
                    Err(error) => {
                        if error.is_go_away() || error.is_io() {
                            lease.retire();
                        }
                        return Poll::Ready(Err(of_h2(&error)));
                    }
                };
                *response = None;
                let (head, body) = answer.into_parts();
                if has_odd_fields(&head.headers) {
                    stream.reset(h2::Reason::PROTOCOL_ERROR);
                    return Poll::Ready(Err(Failure::UpstreamProtocol));
                }
                let length = length_of(&head.headers, body.is_end_stream(), head.status, method);
                stream.recv = Some(body);
                let head_bytes = head_size(&head.headers);
                Poll::Ready(Ok(Answer { status: head.status, headers: head.headers, length, head_bytes }))
            }
        }
    }

    /// Tells the pool when an upload waits for its window, so that others take another connection.
    pub(crate) fn note_window(&mut self) {
        if let Up::H2 { lease, stream, waiting, .. } = self
            && stream.waits != *waiting
        {
            *waiting = stream.waits;
            lease.stalled(*waiting);
        }
    }

    /// What is known of the connection.
    pub(crate) fn opened(&self) -> &Rc<Opened> {
        match self {
            Up::H1(single) => &single.opened,
            Up::H2 { lease, .. } => &lease.opened,
        }
    }

    /// The connection served others before, so its silent end may only be its age.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Up::H1(single) => single.reused && !single.conn.has_input(),
            Up::H2 { .. } => false,
        }
    }

    /// The exchange is over, at about `now`: the connection goes back if it is in order.
    pub(crate) fn finish(self, now: Instant) {
        match self {
            Up::H1(single) => single.give_back(now),
            Up::H2 { mut stream, lease, waiting, .. } => {
                if stream.recv.as_ref().is_some_and(|recv| !recv.is_end_stream()) {
                    stream.reset(h2::Reason::CANCEL);
                }
                if waiting {
                    lease.stalled(false);
                }
            }
        }
    }

    /// The exchange is given up: the other side must stop.
    pub(crate) fn abort(self) {
        match self {
            Up::H1(single) => drop(single),
            Up::H2 { mut stream, lease, waiting, .. } => {
                stream.reset(h2::Reason::CANCEL);
                if waiting {
                    lease.stalled(false);
                }
            }
        }
    }
}

/// Bytes of a head's fields, as HTTP/1.1 would write them.
pub(crate) fn head_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// The length of an HTTP/2 message, which `content-length` may announce.
pub(crate) fn length_of(headers: &HeaderMap, ended: bool, status: StatusCode, method: &Method) -> Length {
    if *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Length::None;
    }
    if ended {
        return Length::Fixed(0);
    }
    match announced(headers) {
        Some(length) => Length::Fixed(length),
        None => Length::Chunked,
    }
}

/// `content-length` as a number; h2 checks it against the data.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn request_head(request: Outgoing<'_>) -> Result<Request<()>, Failure> {
    let mut parts = http::uri::Parts::default();
    let valid = |authority: &str| Authority::try_from(authority).map_err(|_| Failure::UpstreamProtocol);
    parts.authority = Some(valid(request.authority)?);
    if *request.method != Method::CONNECT {
        parts.scheme = Some(if request.https { Scheme::HTTPS } else { Scheme::HTTP });
        let path = PathAndQuery::try_from(request.path).map_err(|_| Failure::UpstreamProtocol)?;
        parts.path_and_query = Some(path);
    }
    let mut head = Request::new(());
    *head.uri_mut() = Uri::from_parts(parts).map_err(|_| Failure::UpstreamProtocol)?;
    *head.method_mut() = request.method.clone();
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = request.headers.clone();
    Ok(head)
}
