//! How a message is read so that nothing is passed over: each builder takes (`take`, `mem::take`) the fields that it
//! honours out of the message, and `done` refuses what is left, by name. A field that is known to change nothing
//! here is taken by `harmless!`, which says so at the place.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message, Name};
use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::r#type::v3 as kinds;
use wire::pb::google::protobuf as google;

/// Why a resource is refused: a field path from where the builder stands, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) path: String,
    pub(super) reason: String,
}

/// Result of a builder.
pub(super) type Lower<T> = Result<T, Refusal>;

impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Refusal { path: String::new(), reason: reason.into() }
    }
}

/// Refuses the field `path`.
pub(super) fn refuse<T>(path: impl Into<String>, reason: impl Into<String>) -> Lower<T> {
    Err(Refusal { path: path.into(), reason: reason.into() })
}

/// Puts the place of a builder before the path of its refusal.
pub(super) trait At<T> {
    fn at(self, parent: &str) -> Lower<T>;
    /// The same for an element of a list.
    fn item(self, parent: &str, index: usize) -> Lower<T>;
}

impl<T> At<T> for Lower<T> {
    fn at(self, parent: &str) -> Lower<T> {
        self.map_err(|mut refusal| {
            refusal.path = match refusal.path.as_str() {
                "" => parent.to_owned(),
                path if path.starts_with('[') => format!("{parent}{path}"),
                path => format!("{parent}.{path}"),
            };
            refusal
        })
    }

    fn item(self, parent: &str, index: usize) -> Lower<T> {
        self.at(&format!("{parent}[{index}]"))
    }
}

/// Takes fields that change nothing in this proxy.
macro_rules! harmless {
    ($message:expr; $($field:ident),+ $(,)?) => {
        $( $message.$field = Default::default(); )+
    };
}
pub(super) use harmless;

/// Refuses the first field that is still set.
pub(super) fn done<M: Message + Name + Default + PartialEq>(rest: &M) -> Lower<()> {
    if *rest == M::default() {
        return Ok(());
    }
    let style = wire::reflect::Style { proto_names: true, redact: true };
    let json = wire::reflect::message_to_json(rest, style);
    let (field, value) = match json.as_object().and_then(|map| map.iter().find(|(key, _)| *key != "@type")) {
        Some((field, value)) => (field.clone(), value.to_string()),
        // A field that is present with its default value does not show in JSON.
        None => (String::new(), "an empty field that is not supported".to_owned()),
    };
    let value: String = value.chars().take(120).collect();
    refuse(field, format!("not supported by this proxy (value {value})"))
}

/// Decodes an `Any` that must hold `M`.
pub(super) fn unpack<M: Message + Name + Default>(any: &google::Any) -> Lower<M> {
    let name = type_name(&any.type_url);
    if name != M::full_name() {
        return Err(Refusal::new(format!("type {name}, expected {}", M::full_name())));
    }
    decode(&any.value)
}

/// Decodes a message that is one.
pub(super) fn decode<M: Message + Name + Default>(bytes: &[u8]) -> Lower<M> {
    M::decode(bytes).map_err(|error| Refusal::new(format!("{} does not decode: {error}", M::full_name())))
}

/// Takes the elements of the list `tag` out of an encoded message: what is left, and each of them still encoded. Typed
/// messages of Envoy take kilobytes each; of a long list only one at a time is worth that.
pub(super) fn apart<M: Message + Name + Default>(mut from: &[u8], tag: u32) -> Lower<(M, Vec<&[u8]>)> {
    let wrong = |error: DecodeError| Refusal::new(format!("{} does not decode: {error}", M::full_name()));
    let (mut rest, mut list) = (Vec::new(), Vec::new());
    while !from.is_empty() {
        let start = from;
        let (number, wire) = decode_key(&mut from).map_err(wrong)?;
        let body = from;
        skip_field(wire, number, &mut from, DecodeContext::default()).map_err(wrong)?;
        if number == tag && wire == WireType::LengthDelimited {
            let mut body = &body[..body.len() - from.len()];
            decode_varint(&mut body).map_err(wrong)?;
            list.push(body);
        } else {
            rest.extend_from_slice(&start[..start.len() - from.len()]);
        }
    }
    Ok((decode(&rest)?, list))
}

/// The message name of a type URL.
pub(super) fn type_name(type_url: &str) -> &str {
    type_url.rsplit_once('/').map_or(type_url, |(_, name)| name)
}

pub(super) fn duration(value: &google::Duration) -> Lower<Duration> {
    let seconds = u64::try_from(value.seconds);
    let nanos = u32::try_from(value.nanos);
    match (seconds, nanos) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(Refusal::new(format!("duration {}s {}ns is not valid", value.seconds, value.nanos))),
    }
}

/// A duration that may be missing.
pub(super) fn duration_or(value: Option<google::Duration>, otherwise: Duration) -> Lower<Duration> {
    value.map_or(Ok(otherwise), |value| duration(&value))
}

/// Parts of a million of a fraction.
pub(super) fn parts(value: &kinds::FractionalPercent) -> u32 {
    let scale = match value.denominator() {
        kinds::fractional_percent::DenominatorType::Hundred => 10_000,
        kinds::fractional_percent::DenominatorType::TenThousand => 100,
        kinds::fractional_percent::DenominatorType::Million => 1,
    };
    value.numerator.saturating_mul(scale).min(1_000_000)
}

/// Parts of a million of a fraction that a runtime key could override; there is no runtime here, its default counts.
pub(super) fn runtime_parts(value: &core::RuntimeFractionalPercent, otherwise: u32) -> u32 {
    value.default_value.as_ref().map_or(otherwise, parts)
}

/// Whether an optional flag is set; `otherwise` where it is not there.
pub(super) fn flag(value: Option<google::BoolValue>, otherwise: bool) -> bool {
    value.map_or(otherwise, |value| value.value)
}

pub(super) fn number(value: Option<google::UInt32Value>, otherwise: u32) -> u32 {
    value.map_or(otherwise, |value| value.value)
}

/// Text that lives as long as the configuration.
pub(super) fn text(value: String) -> Arc<str> {
    value.into()
}

/// An IP address and port.
pub(super) fn socket_address(address: Option<core::Address>) -> Lower<SocketAddr> {
    let mut socket = match address.and_then(|address| address.address) {
        Some(core::address::Address::SocketAddress(socket)) => socket,
        Some(core::address::Address::Pipe(_)) => return refuse("pipe", "not supported by this proxy"),
        Some(core::address::Address::EnvoyInternalAddress(_)) => {
            return refuse("envoy_internal_address", "not supported by this proxy");
        }
        None => return Err(Refusal::new("no address")),
    };
    let (host, port) = host_port(&mut socket).at("socket_address")?;
    let ip: IpAddr = host.parse().map_err(|_| Refusal {
        path: "socket_address.address".into(),
        reason: format!("{host:?} is no IP address"),
    })?;
    Ok(SocketAddr::new(ip, port))
}

/// Host and port of a socket address, of which nothing else may be set.
pub(super) fn host_port(socket: &mut core::SocketAddress) -> Lower<(String, u16)> {
    let host = std::mem::take(&mut socket.address);
    // IPv4-mapped listening is what the kernel does for `::` anyway.
    harmless!(socket; ipv4_compat);
    if socket.protocol() == core::socket_address::Protocol::Udp {
        return refuse("protocol", "UDP is not supported");
    }
    let port = match socket.port_specifier.take() {
        Some(core::socket_address::PortSpecifier::PortValue(port)) => {
            u16::try_from(port).or_else(|_| refuse("port_value", format!("{port} is no port")))?
        }
        Some(core::socket_address::PortSpecifier::NamedPort(_)) => {
            return refuse("named_port", "not supported");
        }
        None => 0,
    };
    done(socket)?;
    Ok((host, port))
}

/// An address range.
pub(super) fn cidr(range: &core::CidrRange) -> Lower<ipnet::IpNet> {
    let ip: IpAddr = range
        .address_prefix
        .parse()
        .or_else(|_| refuse("address_prefix", format!("{:?} is no IP address", range.address_prefix)))?;
    let length = range.prefix_len.map_or(0, |length| length.value);
    u8::try_from(length)
        .ok()
        .and_then(|length| ipnet::IpNet::new(ip, length).ok())
        .map(|net| net.trunc())
        .map_or_else(|| refuse("prefix_len", format!("{length} is too long")), Ok)
}

/// Bytes that stand in the message itself.
pub(super) fn inline(source: core::DataSource) -> Lower<Vec<u8>> {
    match source.specifier {
        Some(core::data_source::Specifier::InlineBytes(bytes)) => Ok(bytes),
        Some(core::data_source::Specifier::InlineString(text)) => Ok(text.into_bytes()),
        Some(core::data_source::Specifier::Filename(_)) => {
            refuse("filename", "only inline data is supported here")
        }
        Some(core::data_source::Specifier::EnvironmentVariable(_)) => {
            refuse("environment_variable", "only inline data is supported here")
        }
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::pb::envoy::config::route::v3 as route;

    #[test]
    fn a_list_is_taken_apart() {
        let host = |name: &str| route::VirtualHost { name: name.into(), ..Default::default() };
        let whole = route::RouteConfiguration {
            name: "r".into(),
            virtual_hosts: vec![host("a"), host(""), host("b")],
            ignore_port_in_host_matching: true,
            ..Default::default()
        };
        let bytes = whole.encode_to_vec();
        let (rest, hosts) = apart::<route::RouteConfiguration>(&bytes, 2).expect("valid");
        let virtual_hosts = hosts.into_iter().map(|one| decode(one).expect("valid")).collect();
        assert_eq!(route::RouteConfiguration { virtual_hosts, ..rest }, whole);
        for broken in [&[0x12, 5, 1][..], &[0x80], &[0x0a, 1, 0xff]] {
            let refusal = apart::<route::RouteConfiguration>(broken, 2).unwrap_err();
            assert!(refusal.reason.contains("RouteConfiguration does not decode"), "{refusal:?}");
        }
    }

    #[test]
    fn what_is_left_is_named() {
        let mut message =
            route::RedirectAction { host_redirect: "a".into(), strip_query: true, ..Default::default() };
        assert_eq!(done(&message).unwrap_err().path, "host_redirect");
        harmless!(message; host_redirect);
        let refusal = done(&message).item("routes", 3).at("virtual_hosts").unwrap_err();
        assert_eq!(refusal.path, "virtual_hosts.routes[3].strip_query");
        harmless!(message; strip_query);
        assert_eq!(done(&message), Ok(()));
    }
}
