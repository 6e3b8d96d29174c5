//! Small value types as written: string matchers, percentages, numbers that may be words, quantities.
//!
//! Used by the kinds. They keep what was written; pilot and the proxy compile them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How a string must look: Istio's `{exact: x}`, `{prefix: x}`, `{regex: x}`, or `{}` for "any, but present".
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StringMatch {
    Exact(String),
    Prefix(String),
    /// RE2, must match the whole string.
    Regex(String),
    /// Nothing was said: the value must be present.
    #[default]
    Any,
}

impl StringMatch {
    /// Whether nothing was said.
    pub fn is_any(&self) -> bool {
        *self == StringMatch::Any
    }

    /// The text to compare with, if any.
    pub fn text(&self) -> Option<&str> {
        match self {
            StringMatch::Exact(text) | StringMatch::Prefix(text) | StringMatch::Regex(text) => Some(text),
            StringMatch::Any => None,
        }
    }
}

/// The mapping as written.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename = "StringMatch")]
struct StringMatchText {
    #[serde(skip_serializing_if = "Option::is_none")]
    exact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<String>,
}

impl Serialize for StringMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = StringMatchText::default();
        match self.clone() {
            StringMatch::Exact(value) => text.exact = Some(value),
            StringMatch::Prefix(value) => text.prefix = Some(value),
            StringMatch::Regex(value) => text.regex = Some(value),
            StringMatch::Any => {}
        }
        text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StringMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match StringMatchText::deserialize(deserializer)? {
            StringMatchText { exact: Some(value), prefix: None, regex: None } => {
                Ok(StringMatch::Exact(value))
            }
            StringMatchText { exact: None, prefix: Some(value), regex: None } => {
                Ok(StringMatch::Prefix(value))
            }
            StringMatchText { exact: None, prefix: None, regex: Some(value) } => {
                Ok(StringMatch::Regex(value))
            }
            StringMatchText { exact: None, prefix: None, regex: None } => Ok(StringMatch::Any),
            _ => Err(de::Error::custom("only one of exact, prefix and regex can be set")),
        }
    }
}

impl JsonSchema for StringMatch {
    fn schema_name() -> Cow<'static, str> {
        "StringMatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        StringMatchText::json_schema(generator)
    }
}

spec! {
    /// A percentage, 0 to 100, finest step 0.0001.
    pub struct Percent {
        value: f64,
    }
}

impl Percent {
    /// As parts of a million, the finest that the wire knows.
    pub fn per_million(&self) -> u32 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 0 and a million
        let parts = (self.value.clamp(0.0, 100.0) * 10_000.0).round() as u32;
        parts
    }
}

/// A port number or the name of a port; also percentages such as `25%`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntOrString {
    Int(i64),
    Text(String),
}

impl IntOrString {
    /// The number, if it is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            IntOrString::Int(value) => Some(*value),
            IntOrString::Text(_) => None,
        }
    }

    /// The word, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            IntOrString::Int(_) => None,
            IntOrString::Text(text) => Some(text),
        }
    }
}

impl Default for IntOrString {
    fn default() -> Self {
        IntOrString::Int(0)
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntOrString::Int(value) => write!(f, "{value}"),
            IntOrString::Text(text) => f.write_str(text),
        }
    }
}

impl Serialize for IntOrString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            IntOrString::Int(value) => serializer.serialize_i64(*value),
            IntOrString::Text(text) => serializer.serialize_str(text),
        }
    }
}

struct IntOrStringVisitor;

impl de::Visitor<'_> for IntOrStringVisitor {
    type Value = IntOrString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a string")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<IntOrString, E> {
        Ok(IntOrString::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<IntOrString, E> {
        i64::try_from(value).map(IntOrString::Int).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<IntOrString, E> {
        Ok(IntOrString::Text(value.to_owned()))
    }
}

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntOrStringVisitor)
    }
}

impl JsonSchema for IntOrString {
    fn schema_name() -> Cow<'static, str> {
        "IntOrString".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true})
    }
}

/// A Kubernetes quantity as written: `100m`, `1.5`, `128Mi`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(pub String);

impl Quantity {
    /// In base units (cores, bytes); none when it is not a quantity.
    pub fn value(&self) -> Option<f64> {
        let text = self.0.trim();
        // `1e3` is an exponent, `5E` and `5Ei` are units.
        let unit_at = |(i, c): (usize, char)| {
            let exponent = matches!(c, 'e' | 'E')
                && text[i + 1..].starts_with(|next: char| next.is_ascii_digit() || matches!(next, '+' | '-'));
            (c.is_ascii_alphabetic() && !exponent).then_some(i)
        };
        let split = text.char_indices().find_map(unit_at).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let scale = match unit {
            "" => 1.0,
            "n" => 1e-9,
            "u" => 1e-6,
            "m" => 1e-3,
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "P" => 1e15,
            "E" => 1e18,
            "Ki" => 1024.0,
            "Mi" => 1_048_576.0,
            "Gi" => 1_073_741_824.0,
            "Ti" => 1_099_511_627_776.0,
            "Pi" => 1_125_899_906_842_624.0,
            "Ei" => 1_152_921_504_606_846_976.0,
            _ => return None,
        };
        number.parse::<f64>().ok().map(|n| n * scale)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

struct QuantityVisitor;

impl de::Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity such as 100m or 128Mi")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Quantity, E> {
        Ok(Quantity(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Quantity, E> {
        Ok(Quantity(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Quantity, E> {
        Ok(Quantity(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Quantity, E> {
        Ok(Quantity(value.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "quantity"})
    }
}

/// Bytes, written as base64.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Bytes {
    /// Reads base64, standard or URL-safe alphabet, padded or not, white space ignored.
    pub fn decode(text: &str) -> Result<Self, String> {
        let mut out = Vec::with_capacity(text.len() * 3 / 4);
        let (mut bits, mut count) = (0u32, 0u32);
        for c in text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=') {
            let c = match c {
                b'-' => b'+',
                b'_' => b'/',
                c => c,
            };
            let value = BASE64.iter().position(|b| *b == c).ok_or("not base64")?;
            bits = (bits << 6) | u32::try_from(value).expect("below 64");
            count += 6;
            if count >= 8 {
                count -= 8;
                out.push(u8::try_from((bits >> count) & 0xff).expect("masked"));
            }
        }
        if count >= 6 { Err("not base64: the text ends too early".to_owned()) } else { Ok(Bytes(out)) }
    }

    /// Writes padded base64.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(self.0.len().div_ceil(3) * 4);
        for chunk in self.0.chunks(3) {
            let mut group = [0u8; 3];
            group[..chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            for i in 0..4 {
                let index = usize::try_from((bits >> (18 - 6 * i)) & 63).expect("masked");
                out.push(if i <= chunk.len() { char::from(BASE64[index]) } else { '=' });
            }
        }
        out
    }
}

/// Never the content: it may be a secret.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.encode())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bytes::decode(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "byte"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn string_match_forms() {
        for (text, expected) in [
            (json!({"exact": "a"}), StringMatch::Exact("a".into())),
            (json!({"prefix": "a"}), StringMatch::Prefix("a".into())),
            (json!({"regex": "a"}), StringMatch::Regex("a".into())),
            (json!({}), StringMatch::Any),
        ] {
            let read: StringMatch = serde_json::from_value(text.clone()).unwrap();
            assert_eq!(read, expected);
            assert_eq!(serde_json::to_value(read).unwrap(), text);
        }
        assert!(serde_json::from_value::<StringMatch>(json!({"exact": "a", "regex": "b"})).is_err());
    }

    #[test]
    fn quantities() {
        for (text, value) in [
            ("100m", 0.1),
            ("1.5", 1.5),
            ("2Ki", 2048.0),
            ("1e3", 1000.0),
            ("3k", 3000.0),
            ("2E", 2e18),
            ("1Ei", 1_152_921_504_606_846_976.0),
        ] {
            assert_eq!(Quantity(text.into()).value(), Some(value), "{text}");
        }
        assert_eq!(Quantity("x".into()).value(), None);
    }

    #[test]
    fn base64_round_trip() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("Zm9vYg==", b"foob")]
        {
            assert_eq!(Bytes::decode(text).unwrap().0, bytes);
            assert_eq!(Bytes(bytes.to_vec()).encode(), text);
        }
        assert!(Bytes::decode("!").is_err());
        assert!(Bytes::decode("Z").is_err());
    }

    #[test]
    fn percent_is_exact() {
        assert_eq!(Percent { value: 0.0001 }.per_million(), 1);
        assert_eq!(Percent { value: 100.0 }.per_million(), 1_000_000);
    }
}
