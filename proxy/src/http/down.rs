//! The downstream end of one exchange: where its request comes from and its response goes to.
//!
//! In: heads, bodies and ends, from `relay` and `respond`. Out: HTTP/1.1 or HTTP/2. The rest of the pipeline does not
//! know which.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response, StatusCode, Version};

use super::body::{Side, Stream2};
use crate::fail::Failure;
use crate::h1::{self, Length};

/// One exchange as the client sees it.
pub(crate) enum Down<'a> {
    H1 { conn: &'a mut h1::Conn, version: Version },
    H2 { respond: SendResponse<Bytes>, stream: Stream2 },
}

impl Down<'_> {
    /// For pumps.
    pub(crate) fn side(&mut self) -> Side<'_> {
        match self {
            Down::H1 { conn, .. } => Side::H1(conn),
            Down::H2 { stream, .. } => Side::H2(stream),
        }
    }

    /// Sends or queues the response's head. `switch`: the protocol that follows a 101.
    pub(crate) fn send_head(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        length: Length,
        switch: bool,
    ) -> Result<(), Failure> {
        match self {
            Down::H1 { conn, version } => {
                let connection = switch.then_some("upgrade");
                conn.write_response(status, *version, headers, length, connection);
                if switch {
                    conn.become_tunnel();
                }
                Ok(())
            }
            Down::H2 { respond, stream } => {
                let mut response = Response::new(());
                *response.status_mut() = status;
                *response.headers_mut() = headers.clone();
                let sent = respond.send_response(response, length.is_empty());
                stream.answers(sent.map_err(|_| Failure::DownstreamReset)?, length.is_empty());
                Ok(())
            }
        }
    }

    /// Writes the whole rest of the body.
    pub(crate) fn write_last(&mut self, cx: &mut Context<'_>, body: &mut Bytes) -> Poll<Result<(), Failure>> {
        let mut side = self.side();
        if !body.is_empty() {
            ready!(side.poll_data(cx, body, true))?;
        }
        side.poll_finish(cx, None)
    }

    /// How a body of the upstream's `length` is framed towards this client.
    pub(crate) fn framing(&self, length: Length) -> Length {
        match (self, length) {
            (Down::H1 { version, .. }, Length::Chunked | Length::Close) if *version == Version::HTTP_10 => {
                Length::Close
            }
            (_, Length::Close) => Length::Chunked,
            (_, length) => length,
        }
    }

    /// Queues the permission to send the body.
    pub(crate) fn allow_body(&mut self) {
        match self {
            Down::H1 { conn, .. } => conn.write_continue(),
            Down::H2 { respond, .. } => {
                let mut interim = Response::new(());
                *interim.status_mut() = StatusCode::CONTINUE;
                // A client that has gone is found when it is answered.
                respond.send_informational(interim).ok();
            }
        }
    }

    /// Resolves when the client has gone.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Down::H1 { conn, .. } => conn.poll_gone(cx),
            Down::H2 { respond, stream } => match &mut stream.send {
                Some(send) => send.poll_reset(cx).map(drop),
                None => respond.poll_reset(cx).map(drop),
            },
        }
    }

    /// The client took the request back, or broke it, before there was an answer.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Down::H2 { stream, .. } if stream.send.is_none())
    }

    /// Breaks off: the client must not take what it got for a whole response.
    pub(crate) fn abort(&mut self) {
        match self {
            Down::H1 { conn, .. } => conn.set_last(),
            Down::H2 { respond, stream } => match stream.send {
                Some(_) => stream.reset(h2::Reason::INTERNAL_ERROR),
                None => respond.send_reset(h2::Reason::INTERNAL_ERROR),
            },
        }
    }

    /// HTTP/2: the request is none, and gets no answer.
    pub(crate) fn refuse(&mut self) {
        match self {
            Down::H1 { conn, .. } => conn.set_last(),
            Down::H2 { respond, .. } => respond.send_reset(h2::Reason::PROTOCOL_ERROR),
        }
    }

    /// No other request on this connection.
    pub(crate) fn set_last(&mut self) {
        if let Down::H1 { conn, .. } = self {
            conn.set_last();
        }
    }
}
