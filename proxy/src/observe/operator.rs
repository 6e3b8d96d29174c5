//! The operators of formats: one closed list, from names to values.
//!
//! In: the text between two `%`, later the facts of a request or connection. Out: text or a number, or nothing
//! where the fact is not known. Names and meaning follow Envoy's access log documentation.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use http::{HeaderMap, HeaderName};

use super::time::TimeFormat;
use super::{Conn, Facts, TcpFacts, TlsFacts, flags};

/// What a line is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    Http(&'a Facts),
    Tcp(&'a TcpFacts),
}

/// A typed value, for JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Missing,
    Number(u64),
    Text(String),
}

/// One operator.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) enum Operator {
    StartTime(TimeFormat),
    EmitTime(TimeFormat),
    Request {
        name: Field,
        other: Option<Field>,
        without_query: bool,
    },
    Response {
        name: HeaderName,
        other: Option<HeaderName>,
    },
    Trailer {
        name: HeaderName,
        other: Option<HeaderName>,
    },
    Address(Side, Part),
    Number(Number),
    Text(Word),
    Fixed(Arc<str>),
    /// Known by name, and nothing here ever has a value for it.
    Absent,
}

/// A request field: a pseudo header or a header.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) enum Field {
    Method,
    Path,
    Authority,
    Scheme,
    Protocol,
    Header(HeaderName),
}

/// Which address.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Side {
    Upstream,
    UpstreamLocal,
    Local,
    Remote,
    Direct,
}

/// Which part of it.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Part {
    Whole,
    Host,
    Port,
}

/// Operators whose value is a number.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Number {
    ResponseCode,
    BytesReceived,
    BytesSent,
    Duration,
    RequestDuration,
    ResponseDuration,
    ResponseTxDuration,
    Attempts,
    ConnectionId,
    GrpcStatus,
}

/// Operators whose value is text.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Word {
    Protocol,
    ResponseFlags,
    ResponseCodeDetails,
    UpstreamCluster,
    UpstreamFailure,
    UpstreamTlsVersion,
    UpstreamTlsCipher,
    UpstreamPeerUri,
    UpstreamLocalUri,
    UpstreamPeerSubject,
    DownstreamTlsVersion,
    DownstreamTlsCipher,
    DownstreamPeerUri,
    DownstreamLocalUri,
    DownstreamPeerDns,
    DownstreamPeerSubject,
    DownstreamPeerFingerprint,
    ServerName,
    RouteName,
    TraceId,
    GrpcStatus,
}

static HOSTNAME: LazyLock<Arc<str>> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Arc::from(name.trim())
});

impl Operator {
    /// Parses `NAME` or `NAME(argument)`.
    pub(super) fn parse(command: &str) -> Result<Self, String> {
        let (name, argument) = match command.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')').ok_or("missing )")?),
            None => (command, ""),
        };
        if let Some(word) = word(name) {
            return Ok(Operator::Text(word));
        }
        if let Some(number) = number(name) {
            return Ok(Operator::Number(number));
        }
        if let Some((side, part)) = address(name) {
            return Ok(Operator::Address(side, part));
        }
        Ok(match name {
            "START_TIME" => Operator::StartTime(TimeFormat::parse(argument)?),
            "EMIT_TIME" => Operator::EmitTime(TimeFormat::parse(argument)?),
            "REQ" | "REQ_WITHOUT_QUERY" => {
                let (first, other) = alternatives(argument);
                Operator::Request {
                    name: field(first)?,
                    other: other.map(field).transpose()?,
                    without_query: name != "REQ",
                }
            }
            "RESP" => {
                let (first, other) = alternatives(argument);
                Operator::Response { name: header(first)?, other: other.map(header).transpose()? }
            }
            "TRAILER" => {
                let (first, other) = alternatives(argument);
                Operator::Trailer { name: header(first)?, other: other.map(header).transpose()? }
            }
            "HOSTNAME" => Operator::Fixed(HOSTNAME.clone()),
            "ENVIRONMENT" => match std::env::var(argument) {
                Ok(value) => Operator::Fixed(value.into()),
                Err(_) => Operator::Absent,
            },
            "DYNAMIC_METADATA"
            | "CLUSTER_METADATA"
            | "UPSTREAM_METADATA"
            | "METADATA"
            | "FILTER_STATE"
            | "UPSTREAM_FILTER_STATE"
            | "CONNECTION_TERMINATION_DETAILS"
            | "DOWNSTREAM_TRANSPORT_FAILURE_REASON"
            | "LOCAL_REPLY_BODY"
            | "VIRTUAL_CLUSTER_NAME"
            | "FILTER_CHAIN_NAME"
            | "STREAM_ID"
            | "CEL"
            | "UPSTREAM_HOST_NAME"
            | "UNIQUE_ID" => Operator::Absent,
            _ => return Err("unknown operator".into()),
        })
    }

    /// Appends the value; false when there is none.
    pub(super) fn write(&self, subject: &Subject<'_>, out: &mut String) -> bool {
        match self {
            Operator::StartTime(format) => format.write(subject.start_wall(), out),
            Operator::EmitTime(format) => format.write(SystemTime::now(), out),
            Operator::Request { name, other, without_query } => {
                let start = out.len();
                let found =
                    subject.field(name, out) || other.as_ref().is_some_and(|other| subject.field(other, out));
                if *without_query && let Some(query) = out.get(start..).and_then(|text| text.find('?')) {
                    out.truncate(start + query);
                }
                return found;
            }
            Operator::Response { name, other } => {
                return subject
                    .http()
                    .is_some_and(|f| one_of(&f.response_headers, name, other.as_ref(), out));
            }
            Operator::Trailer { name, other } => {
                return subject.http().is_some_and(|f| one_of(&f.trailers, name, other.as_ref(), out));
            }
            Operator::Address(side, part) => match subject.address(*side) {
                Some(address) => put(out, address, *part),
                None => return false,
            },
            Operator::Number(number) => match subject.number(*number) {
                Some(value) => show(out, value),
                None => return false,
            },
            Operator::Text(word) => return subject.word(*word, out),
            Operator::Fixed(text) => out.push_str(text),
            Operator::Absent => return false,
        }
        true
    }

    /// The typed value.
    pub(super) fn value(&self, subject: &Subject<'_>) -> Value {
        if let Operator::Number(number) = self {
            return subject.number(*number).map_or(Value::Missing, Value::Number);
        }
        if let Operator::Address(side, Part::Port) = self {
            return subject.address(*side).map_or(Value::Missing, |a| Value::Number(u64::from(a.port())));
        }
        let mut text = String::new();
        if self.write(subject, &mut text) { Value::Text(text) } else { Value::Missing }
    }
}

impl<'a> Subject<'a> {
    fn http(&self) -> Option<&'a Facts> {
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

    fn start_wall(&self) -> SystemTime {
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

    fn field(&self, field: &Field, out: &mut String) -> bool {
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

    fn address(&self, side: Side) -> Option<SocketAddr> {
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

    fn number(&self, number: Number) -> Option<u64> {
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

    fn word(&self, word: Word, out: &mut String) -> bool {
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
                // Writing to a string cannot fail.
                let _ = write!(out, "{:032x}", trace.trace_id);
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
        out.extend(details.chars().map(|c| if c.is_whitespace() { '_' } else { c }));
        true
    }
}

fn one_of(headers: &HeaderMap, name: &HeaderName, other: Option<&HeaderName>, out: &mut String) -> bool {
    let value = headers.get(name).or_else(|| headers.get(other?));
    match value {
        Some(value) => out.push_str(&String::from_utf8_lossy(value.as_bytes())),
        None => return false,
    }
    true
}

fn alternatives(argument: &str) -> (&str, Option<&str>) {
    match argument.split_once('?') {
        Some((first, other)) => (first, Some(other)),
        None => (argument, None),
    }
}

fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))
}

fn field(name: &str) -> Result<Field, String> {
    Ok(match name.to_ascii_lowercase().as_str() {
        ":method" => Field::Method,
        ":path" => Field::Path,
        ":authority" | "host" => Field::Authority,
        ":scheme" => Field::Scheme,
        ":protocol" => Field::Protocol,
        other => Field::Header(header(other)?),
    })
}

fn put(out: &mut String, address: SocketAddr, part: Part) {
    match part {
        Part::Whole => show(out, address),
        Part::Host => show(out, address.ip()),
        Part::Port => show(out, address.port()),
    }
}

fn show(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
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

fn address(name: &str) -> Option<(Side, Part)> {
    let (name, part) = match name.strip_suffix("_WITHOUT_PORT") {
        Some(base) => (base, Part::Host),
        None => match name.strip_suffix("_PORT") {
            Some(base) => (base, Part::Port),
            None => (name, Part::Whole),
        },
    };
    let side = match name {
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" | "UPSTREAM_REMOTE" => Side::Upstream,
        "UPSTREAM_LOCAL_ADDRESS" | "UPSTREAM_LOCAL" => Side::UpstreamLocal,
        "DOWNSTREAM_LOCAL_ADDRESS" | "DOWNSTREAM_LOCAL" => Side::Local,
        "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_REMOTE" => Side::Remote,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE" => Side::Direct,
        _ => return None,
    };
    Some((side, part))
}

fn number(name: &str) -> Option<Number> {
    Some(match name {
        "RESPONSE_CODE" => Number::ResponseCode,
        "BYTES_RECEIVED" | "DOWNSTREAM_WIRE_BYTES_RECEIVED" => Number::BytesReceived,
        "BYTES_SENT" | "DOWNSTREAM_WIRE_BYTES_SENT" => Number::BytesSent,
        "DURATION" => Number::Duration,
        "REQUEST_DURATION" => Number::RequestDuration,
        "RESPONSE_DURATION" => Number::ResponseDuration,
        "RESPONSE_TX_DURATION" => Number::ResponseTxDuration,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Number::Attempts,
        "CONNECTION_ID" => Number::ConnectionId,
        "GRPC_STATUS_NUMBER" => Number::GrpcStatus,
        _ => return None,
    })
}

fn word(name: &str) -> Option<Word> {
    Some(match name {
        "PROTOCOL" => Word::Protocol,
        "RESPONSE_FLAGS" => Word::ResponseFlags,
        "RESPONSE_CODE_DETAILS" => Word::ResponseCodeDetails,
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Word::UpstreamCluster,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Word::UpstreamFailure,
        "UPSTREAM_TLS_VERSION" => Word::UpstreamTlsVersion,
        "UPSTREAM_TLS_CIPHER" => Word::UpstreamTlsCipher,
        "UPSTREAM_PEER_URI_SAN" => Word::UpstreamPeerUri,
        "UPSTREAM_LOCAL_URI_SAN" => Word::UpstreamLocalUri,
        "UPSTREAM_PEER_SUBJECT" => Word::UpstreamPeerSubject,
        "DOWNSTREAM_TLS_VERSION" => Word::DownstreamTlsVersion,
        "DOWNSTREAM_TLS_CIPHER" => Word::DownstreamTlsCipher,
        "DOWNSTREAM_PEER_URI_SAN" => Word::DownstreamPeerUri,
        "DOWNSTREAM_LOCAL_URI_SAN" => Word::DownstreamLocalUri,
        "DOWNSTREAM_PEER_DNS_SAN" => Word::DownstreamPeerDns,
        "DOWNSTREAM_PEER_SUBJECT" => Word::DownstreamPeerSubject,
        "DOWNSTREAM_PEER_FINGERPRINT_256" => Word::DownstreamPeerFingerprint,
        "REQUESTED_SERVER_NAME" => Word::ServerName,
        "ROUTE_NAME" => Word::RouteName,
        "TRACE_ID" => Word::TraceId,
        "GRPC_STATUS" => Word::GrpcStatus,
        _ => return None,
    })
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
