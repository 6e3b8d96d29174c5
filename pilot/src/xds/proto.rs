//! Small words of protobuf that every builder says: wrappers, durations, Any, Struct, config sources.
//!
//! Nothing here decides anything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, Metadata, Pipe, RuntimeFractionalPercent,
    SocketAddress, address, config_source, socket_address,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{
    RegexMatchAndSubstitute, RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};
use envoy_types::pb::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use envoy_types::pb::google::protobuf::{
    self as pb, Any, BoolValue, ListValue, Struct, UInt32Value, UInt64Value, Value, value::Kind as ValueKind,
};
use prost::{Message, Name};
use serde_json::Value as Json;
use wire::structs::TypedStruct;

use crate::model::routes::route::{Share, Text};

/// A message in its envelope.
pub fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// A filter that Envoy does not know, as `xds.type.v3.TypedStruct`.
pub fn typed_struct(type_url: &str, value: Json) -> Any {
    let value = TypedStruct { type_url: type_url.to_owned(), value: Some(structure(value)) };
    Any { type_url: "type.googleapis.com/xds.type.v3.TypedStruct".to_owned(), value: value.encode_to_vec() }
}

pub fn duration(value: Duration) -> pb::Duration {
    pb::Duration { seconds: value.as_secs() as i64, nanos: value.subsec_nanos() as i32 }
}

pub fn secs(value: u64) -> pb::Duration {
    duration(Duration::from_secs(value))
}

pub fn uint32(value: u32) -> UInt32Value {
    UInt32Value { value }
}

pub fn uint64(value: u64) -> UInt64Value {
    UInt64Value { value }
}

pub fn boolean(value: bool) -> BoolValue {
    BoolValue { value }
}

/// A JSON object as a Struct; anything else becomes an empty one.
pub fn structure(value: Json) -> Struct {
    let Json::Object(map) = value else { return Struct::default() };
    Struct { fields: map.into_iter().map(|(k, v)| (k, json_value(v))).collect() }
}

fn json_value(value: Json) -> Value {
    let kind = match value {
        Json::Null => ValueKind::NullValue(0),
        Json::Bool(b) => ValueKind::BoolValue(b),
        Json::Number(n) => ValueKind::NumberValue(n.as_f64().unwrap_or_default()),
        Json::String(s) => ValueKind::StringValue(s),
        Json::Array(list) => {
            ValueKind::ListValue(ListValue { values: list.into_iter().map(json_value).collect() })
        }
        object @ Json::Object(_) => ValueKind::StructValue(structure(object)),
    };
    Value { kind: Some(kind) }
}

/// `filter_metadata` from a list of (filter, object).
pub fn metadata(entries: Vec<(&str, Json)>) -> Metadata {
    Metadata {
        filter_metadata: entries.into_iter().map(|(k, v)| (k.to_owned(), structure(v))).collect(),
        typed_filter_metadata: HashMap::new(),
    }
}

/// "On the same stream as everything else."
pub fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        initial_fetch_timeout: Some(secs(0)),
        config_source_specifier: Some(config_source::ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

pub fn socket(address: IpAddr, port: u16) -> Address {
    named_socket(&address.to_string(), port)
}

/// An address by text: an IP, or a name where a cluster resolves it.
pub fn named_socket(address: &str, port: u16) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: address.to_owned(),
            port_specifier: Some(socket_address::PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}

pub fn pipe(path: &str) -> Address {
    Address { address: Some(address::Address::Pipe(Pipe { path: path.to_owned(), mode: 0 })) }
}

pub fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher { regex: pattern.to_owned(), ..Default::default() }
}

pub fn substitute(pattern: &str, replacement: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute { pattern: Some(regex(pattern)), substitution: replacement.to_owned() }
}

/// A string matcher. `Present` matches everything that is there, the empty text too.
pub fn string_matcher(text: &Text, ignore_case: bool) -> StringMatcher {
    let pattern = match text {
        Text::Exact(s) => MatchPattern::Exact(s.clone()),
        // Envoy refuses an empty prefix.
        Text::Prefix(s) if s.is_empty() => MatchPattern::SafeRegex(regex(".*")),
        Text::Prefix(s) => MatchPattern::Prefix(s.clone()),
        Text::Regex(s) => MatchPattern::SafeRegex(regex(s)),
        Text::Present => MatchPattern::SafeRegex(regex(".*")),
    };
    let ignore_case = ignore_case && !matches!(pattern, MatchPattern::SafeRegex(_));
    StringMatcher { match_pattern: Some(pattern), ignore_case }
}

pub fn exact(text: &str) -> StringMatcher {
    string_matcher(&Text::Exact(text.to_owned()), false)
}

pub fn fraction(share: Share) -> FractionalPercent {
    FractionalPercent { numerator: share.0, denominator: DenominatorType::Million as i32 }
}

pub fn runtime_fraction(share: Share) -> RuntimeFractionalPercent {
    RuntimeFractionalPercent { default_value: Some(fraction(share)), runtime_key: String::new() }
}
