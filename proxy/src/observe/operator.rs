//! The operators of formats: one closed list, from names to values.
//!
//! In: the text between two `%`, later the facts of a request or connection. Out: text or a number, or nothing
//! where the fact is not known. Names and meaning follow Envoy's access log documentation.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use http::HeaderName;

use super::STRING;
use super::subject::{Subject, one_of};
use super::time::TimeFormat;

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
                Some(value) => decimal(value, out),
                None => return false,
            },
            Operator::Text(word) => return subject.word(*word, out),
            Operator::Fixed(text) => out.push_str(text),
            Operator::Absent => return false,
        }
        true
    }

    /// Its text has nothing that JSON escapes.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Operator::StartTime(format) | Operator::EmitTime(format) => format.is_default(),
            Operator::Address(..) | Operator::Number(_) => true,
            Operator::Text(word) => {
                matches!(word, Word::Protocol | Word::ResponseFlags | Word::TraceId | Word::GrpcStatus)
            }
            Operator::Request { name, other, .. } => {
                *name == Field::Method && other.is_none() || *name == Field::Protocol
            }
            Operator::Response { .. } | Operator::Trailer { .. } | Operator::Fixed(_) | Operator::Absent => {
                false
            }
        }
    }

    /// The value of an operator whose values are numbers, where there is one. `None`: its values are text.
    pub(super) fn number(&self, subject: &Subject<'_>) -> Option<Option<u64>> {
        match self {
            Operator::Number(number) => Some(subject.number(*number)),
            Operator::Address(side, Part::Port) => Some(subject.address(*side).map(|a| u64::from(a.port()))),
            _ => None,
        }
    }
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
        Part::Whole => {
            host(out, address.ip(), true);
            out.push(':');
            decimal(u64::from(address.port()), out);
        }
        Part::Host => host(out, address.ip(), false),
        Part::Port => decimal(u64::from(address.port()), out),
    }
}

/// An address as the standard library shows it; those of version 4 by hand, since lines have five of them.
fn host(out: &mut String, ip: IpAddr, with_port: bool) {
    match ip {
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push('.');
                }
                decimal(u64::from(octet), out);
            }
        }
        IpAddr::V6(ip) if with_port => write!(out, "[{ip}]").expect(STRING),
        IpAddr::V6(ip) => write!(out, "{ip}").expect(STRING),
    }
}

/// Appends a number.
pub(super) fn decimal(number: u64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(number));
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
