//! What a log line is about, and the value of each fact in it.
//!
//! In: the facts of a request or of a TCP connection. Out: the value behind an operator, or that there is none. Pure;
//! called by `operator` alone.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName};

use super::STRING;
use super::operator::{Field, Number, Side, Word};
use super::{Conn, Facts, TcpFacts, TlsFacts, flags};

/// What a line is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    Http(&'a Facts),
    Tcp(&'a TcpFacts),
}

impl<'a> Subject<'a> {
    pub(super) fn http(&self) -> Option<&'a Facts> {
        match self {
            Subject::Http(facts) => Some(facts),
            Subject::Tcp(_) => None,
        }
    }

    /// The downstream connection.
    pub fn conn(&self) -> &'a Conn {
        match self {
            Subject::Http(facts) => &facts.conn,
            Subject::Tcp(facts) => &facts.conn,
        }
    }

    pub(super) fn start_wall(&self) -> SystemTime {
        match self {
            Subject::Http(facts) => facts.start_wall,
            Subject::Tcp(facts) => facts.start_wall,
        }
    }

    fn upstream_tls(&self) -> Option<&'a TlsFacts> {
        match self {
            Subject::Http(facts) => facts.upstream_tls.as_deref(),
            Subject::Tcp(facts) => facts.upstream_tls.as_deref(),
        }
    }

    pub(super) fn field(&self, field: &Field, out: &mut String) -> bool {
        let Some(facts) = self.http() else { return false };
        match field {
            Field::Method => out.push_str(facts.method.as_str()),
            Field::Path => out.push_str(&facts.path),
            Field::Authority => out.push_str(&facts.authority),
            Field::Scheme => out.push_str(&facts.scheme),
            Field::Protocol => out.push_str(version(facts.protocol)),
            Field::Header(name) => return one_of(&facts.request_headers, name, None, out),
        }
        // Empty pseudo headers were not there (a CONNECT has no path).
        !matches!(field, Field::Path if facts.path.is_empty())
    }

    pub(super) fn address(&self, side: Side) -> Option<SocketAddr> {
        let (upstream, local) = match self {
            Subject::Http(facts) => (facts.upstream, facts.upstream_local),
            Subject::Tcp(facts) => (facts.upstream, facts.upstream_local),
        };
        match side {
            Side::Upstream => upstream,
            Side::UpstreamLocal => local,
            Side::Local => Some(self.conn().local),
            Side::Remote | Side::Direct => Some(self.conn().peer),
        }
    }

    pub(super) fn number(&self, number: Number) -> Option<u64> {
        let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let facts = match (self, number) {
            (_, Number::ConnectionId) => return Some(self.conn().id),
            (Subject::Http(facts), _) => facts,
            (Subject::Tcp(facts), Number::BytesReceived) => return Some(facts.bytes_received),
            (Subject::Tcp(facts), Number::BytesSent) => return Some(facts.bytes_sent),
            (Subject::Tcp(facts), Number::Duration) => return facts.ended.map(millis),
            // Envoy prints 0 for connections.
            (Subject::Tcp(_), Number::ResponseCode) => return Some(0),
            (Subject::Tcp(_), _) => return None,
        };
        match number {
            Number::ResponseCode => Some(u64::from(facts.status)),
            Number::BytesReceived => Some(facts.bytes_received),
            Number::BytesSent => Some(facts.bytes_sent),
            Number::Duration => facts.ended.map(millis),
            Number::RequestDuration => Some(millis(facts.upstream_started?.duration_since(facts.start))),
            Number::ResponseDuration => Some(millis(facts.upstream_head?.duration_since(facts.start))),
            Number::ResponseTxDuration => {
                Some(millis(facts.ended?.saturating_sub(facts.upstream_head?.duration_since(facts.start))))
            }
            Number::Attempts => Some(u64::from(facts.attempts)),
            Number::GrpcStatus => facts.grpc_status.map(u64::from),
            Number::ConnectionId => Some(facts.conn.id),
        }
    }

    pub(super) fn word(&self, word: Word, out: &mut String) -> bool {
        let conn = self.conn();
        let up = self.upstream_tls();
        let down = conn.tls.as_ref();
        let text: Option<&str> = match word {
            Word::Protocol => self.http().map(|facts| version(facts.protocol)),
            Word::ResponseFlags => {
                flags::write(self.failures(), out);
                return true;
            }
            Word::ResponseCodeDetails => return self.details(out),
            Word::UpstreamCluster => self.cluster(),
            Word::UpstreamFailure => self.upstream_failure(),
            Word::UpstreamTlsVersion => up.map(|tls| &*tls.version),
            Word::UpstreamTlsCipher => up.map(|tls| &*tls.cipher),
            Word::UpstreamPeerUri => up.and_then(|tls| tls.peer_principal.as_deref()),
            Word::UpstreamLocalUri => up.and_then(|tls| tls.local_principal.as_deref()),
            Word::UpstreamPeerSubject => up.and_then(|tls| tls.peer_subject.as_deref()),
            Word::DownstreamTlsVersion => down.map(|tls| &*tls.version),
            Word::DownstreamTlsCipher => down.map(|tls| &*tls.cipher),
            Word::DownstreamPeerUri => down.and_then(|tls| tls.peer_principal.as_deref()),
            Word::DownstreamLocalUri => down.and_then(|tls| tls.local_principal.as_deref()),
            Word::DownstreamPeerDns => down.and_then(|tls| tls.peer_dns.first()).map(|name| &**name),
            Word::DownstreamPeerSubject => down.and_then(|tls| tls.peer_subject.as_deref()),
            Word::DownstreamPeerFingerprint => down.and_then(|tls| tls.peer_hash.as_deref()),
            Word::ServerName => conn.server_name.as_deref(),
            Word::RouteName => self.http().and_then(|facts| facts.rule.as_ref()).map(|rule| &*rule.name),
            Word::TraceId => {
                let Some(trace) = self.http().and_then(|facts| facts.trace.as_ref()) else { return false };
                write!(out, "{:032x}", trace.trace_id).expect(STRING);
                return true;
            }
            Word::GrpcStatus => self.http().and_then(|facts| facts.grpc_status).map(grpc_name),
        };
        match text {
            Some(text) if !text.is_empty() => out.push_str(text),
            _ => return false,
        }
        true
    }

    fn failures(&self) -> &'a [crate::fail::Failure] {
        match self {
            Subject::Http(facts) => &facts.failures,
            Subject::Tcp(facts) => &facts.failures,
        }
    }

    fn cluster(&self) -> Option<&'a str> {
        match self {
            Subject::Http(facts) => facts.cluster.as_ref().map(|cluster| &*cluster.name),
            Subject::Tcp(facts) => {
                facts.cluster.as_ref().map(|cluster| &*cluster.name).or(facts.cluster_name.as_deref())
            }
        }
    }

    fn upstream_failure(&self) -> Option<&'a str> {
        match self {
            Subject::Http(facts) => facts.upstream_failure.as_deref(),
            Subject::Tcp(facts) => facts.upstream_failure.as_deref(),
        }
    }

    /// Whitespace would break the columns of a text log, so it becomes `_` as in Envoy.
    fn details(&self, out: &mut String) -> bool {
        let details = match self {
            Subject::Http(facts) => facts.details.as_deref(),
            Subject::Tcp(facts) => facts.details.as_deref(),
        };
        let Some(details) = details.filter(|text| !text.is_empty()) else { return false };
        match details.contains(char::is_whitespace) {
            true => out.extend(details.chars().map(|c| if c.is_whitespace() { '_' } else { c })),
            false => out.push_str(details),
        }
        true
    }
}

pub(super) fn one_of(
    headers: &HeaderMap,
    name: &HeaderName,
    other: Option<&HeaderName>,
    out: &mut String,
) -> bool {
    let value = headers.get(name).or_else(|| headers.get(other?));
    match value {
        Some(value) => out.push_str(&String::from_utf8_lossy(value.as_bytes())),
        None => return false,
    }
    true
}

/// As Envoy writes protocols.
pub(crate) fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        http::Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// Envoy's names of gRPC codes.
pub(crate) fn grpc_name(code: u16) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("InvalidCode")
}
