//! JSON to message.
//!
//! In: JSON or YAML as a human wrote it (camelCase or snake_case, numbers as text or not), from any serde deserializer,
//! and the type it should have. Out: encoded bytes, or a [`Mismatch`] that names the field by its path. Unknown
//! fields, unknown types and fields given twice are errors: this reads Envoy bootstrap files, where a misspelt field
//! must not vanish. Fields are written as they come, so no tree of the document is made.

use std::cell::RefCell;
use std::fmt;

use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::any::any;
use super::place::{Mismatch, Place, Step};
use super::scalar::{self, Defaults, expected};
use super::schema::{Field, Kind, Message, find};
use super::tree::Tree;
use super::well_known::{self, has_own_form};

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// It is no document.
    Syntax(E),
    /// It is one of something else.
    Mismatch(Mismatch),
}

/// Encodes `json` as a message of type `type_name` (a type URL will do).
pub fn from_json(type_name: &str, json: &Json) -> Result<Vec<u8>, Mismatch> {
    read_from(type_name, json).map_err(|failure| match failure {
        Failure::Mismatch(mismatch) => mismatch,
        Failure::Syntax(error) => Mismatch { path: String::new(), reason: error.to_string() },
    })
}

/// As [`from_json`], decoded into the typed message.
pub fn read<M: prost::Message + prost::Name + Default>(json: &Json) -> Result<M, Mismatch> {
    let bytes = from_json(&M::full_name(), json)?;
    M::decode(bytes.as_slice()).map_err(|e| Mismatch { path: String::new(), reason: e.to_string() })
}

/// As [`from_json`], from a document that is read only once and never held.
pub fn read_from<'de, D: Deserializer<'de>>(type_name: &str, from: D) -> Result<Vec<u8>, Failure<D::Error>> {
    let fault = RefCell::new(None);
    let Some(message) = find(type_name) else {
        let reason = format!("unknown message type {type_name}");
        return Err(Failure::Mismatch(Mismatch { path: String::new(), reason }));
    };
    let mut out = Vec::new();
    let place = Place::root(&fault);
    let read = Slot { what: What::Message(message), place: &place, out: &mut out }.deserialize(from);
    match (fault.into_inner(), read) {
        (Some(mismatch), _) => Err(Failure::Mismatch(mismatch)),
        (None, Err(error)) => Err(Failure::Syntax(error)),
        (None, Ok(_)) => Ok(out),
    }
}

/// What is expected next.
#[derive(Clone, Copy)]
enum What {
    /// A field of a message, with its key: all of a list or map.
    Field(Field),
    /// One value with its key: an element, or half of a map's entry.
    One { kind: Kind, tag: u32 },
    /// A message without a key or length.
    Message(Message),
}

/// Reads one value and writes it to `out`. Its result: whether there was one, rather than null.
struct Slot<'a> {
    what: What,
    place: &'a Place<'a>,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_any(self)
    }
}

impl Slot<'_> {
    /// A value that is known as a whole.
    fn leaf<E: Error>(self, json: &Json) -> Result<bool, E> {
        let (kind, tag, defaults) = match self.what {
            What::Field(field) => {
                let is_value = matches!(field.kind(), Kind::Message(of) if of.well_known() == Some("Value"));
                if json.is_null() && !is_value {
                    return Ok(false);
                }
                if field.map().is_some() {
                    return self.place.fail(expected("an object", json));
                }
                if field.is_repeated() {
                    return self.place.fail(expected("a list", json));
                }
                let defaults = if field.has_presence() { Defaults::Written } else { Defaults::LeftOut };
                (field.kind(), field.number(), defaults)
            }
            What::One { kind, tag } => (kind, tag, Defaults::Written),
            What::Message(of) => {
                let reason = expected(&format!("an object ({})", of.full_name()), json);
                return self.place.fail(reason);
            }
        };
        let written = match kind {
            Kind::Message(of) if of.well_known() == Some("Any") => {
                Err(expected("an object with @type", json))
            }
            Kind::Message(of) if has_own_form(of) => well_known::from_json(of, json).map(|bytes| {
                encode_key(tag, WireType::LengthDelimited, self.out);
                encode_varint(bytes.len() as u64, self.out);
                self.out.extend_from_slice(&bytes);
            }),
            kind => scalar::put(kind, tag, json, defaults, self.out),
        };
        written.map(|()| true).or_else(|reason| self.place.fail(reason))
    }
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        self.leaf(&Json::Null)
    }

    fn visit_none<E: Error>(self) -> Result<bool, E> {
        self.leaf(&Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        self.deserialize(from)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.leaf(&value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.leaf(&value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        self.leaf(&value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        self.leaf(&value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        self.leaf(&value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<bool, E> {
        self.leaf(&value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let field = match self.what {
            What::Field(field) if field.is_repeated() && field.map().is_none() => field,
            _ => return self.leaf(&Tree.visit_seq(items)?),
        };
        let what = What::One { kind: field.kind(), tag: field.number() };
        for index in 0.. {
            let place = self.place.at(Step::Index(index));
            if items.next_element_seed(Slot { what, place: &place, out: &mut *self.out })?.is_none() {
                break;
            }
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<bool, A::Error> {
        let (kind, tag) = match self.what {
            What::Field(field) => match field.map() {
                Some(entry) => return map(field.number(), entry, self.place, self.out, entries),
                None if field.is_repeated() => return self.leaf(&Tree.visit_map(entries)?),
                None => (field.kind(), Some(field.number())),
            },
            What::One { kind, tag } => (kind, Some(tag)),
            What::Message(of) => (Kind::Message(of), None),
        };
        let Kind::Message(of) = kind else { return self.leaf(&Tree.visit_map(entries)?) };
        let is_any = of.well_known() == Some("Any");
        if has_own_form(of) && !is_any {
            return self.leaf(&Tree.visit_map(entries)?);
        }
        let place = self.place;
        let body = |out: &mut Vec<u8>| match is_any {
            true => any(place, out, entries),
            false => fields(of, place, out, entries),
        };
        match tag {
            Some(tag) => nested(tag, self.out, body)?,
            None => body(self.out)?,
        }
        Ok(true)
    }
}

/// Writes what `body` writes behind its key and length.
pub(super) fn nested<E>(
    tag: u32,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    encode_key(tag, WireType::LengthDelimited, out);
    let start = out.len();
    body(out)?;
    let end = out.len();
    // The length goes behind what it counts, and both change places.
    encode_varint((end - start) as u64, out);
    let length = out.len() - end;
    out[start..].rotate_right(length);
    Ok(())
}

/// A key that is looked up where it stands.
struct FieldKey(Message);

enum Named {
    Field(Field, &'static str),
    Unknown(String),
}

impl<'de> DeserializeSeed<'de> for FieldKey {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Named, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldKey {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Named, E> {
        Ok(match self.0.field_named(name) {
            Some(field) if field.name() == name => Named::Field(field, field.name()),
            Some(field) => Named::Field(field, field.json_name()),
            None => Named::Unknown(name.to_owned()),
        })
    }
}

pub(super) fn fields<'de, A: MapAccess<'de>>(
    of: Message,
    place: &Place,
    out: &mut Vec<u8>,
    mut entries: A,
) -> Result<(), A::Error> {
    let mut seen = 0;
    let start = out.len();
    let mut ends: Vec<(Field, usize)> = Vec::new();
    while let Some(named) = entries.next_key_seed(FieldKey(of))? {
        let (field, key) = match named {
            Named::Field(field, key) => (field, key),
            Named::Unknown(key) => {
                let reason = format!("{} has no such field", of.full_name());
                return place.at(Step::Field(&key)).fail(reason);
            }
        };
        let place = place.at(Step::Field(key));
        if seen & field.bit(of) != 0 {
            return place.fail("is given twice");
        }
        if !entries.next_value_seed(Slot { what: What::Field(field), place: &place, out: &mut *out })? {
            continue;
        }
        if let Some(oneof) = field.oneof() {
            let other = of.fields().find(|one| one.oneof() == Some(oneof) && seen & one.bit(of) != 0);
            if let Some(other) = other {
                return place.fail(format!("excludes {}", other.name()));
            }
        }
        seen |= field.bit(of);
        ends.push((field, out.len()));
    }
    sort(start, &ends, out);
    Ok(())
}

/// Equal messages have equal bytes, whatever the order in which their fields were written: that of their numbers.
fn sort(mut start: usize, ends: &[(Field, usize)], out: &mut [u8]) {
    if ends.is_sorted_by_key(|(field, _)| field.number()) {
        return;
    }
    let first = start;
    let mut parts: Vec<_> = ends
        .iter()
        .map(|(field, end)| {
            let part = start..*end;
            start = *end;
            (field.number(), part)
        })
        .collect();
    parts.sort_by_key(|(number, _)| *number);
    let sorted: Vec<u8> = parts.into_iter().map(|(_, part)| &out[part]).collect::<Vec<_>>().concat();
    out[first..].copy_from_slice(&sorted);
}

fn map<'de, A: MapAccess<'de>>(
    tag: u32,
    entry: Message,
    place: &Place,
    out: &mut Vec<u8>,
    mut entries: A,
) -> Result<bool, A::Error> {
    let (Some(key_type), Some(value_type)) = (entry.field(1), entry.field(2)) else {
        return place.fail("the schema is wrong");
    };
    let mut seen = std::collections::HashSet::new();
    while let Some(key) = entries.next_key::<String>()? {
        let place = place.at(Step::Key(&key));
        if !seen.insert(key.clone()) {
            return place.fail("is given twice");
        }
        nested(tag, out, |out| {
            scalar::put(key_type.kind(), 1, &Json::String(key.clone()), Defaults::Written, out)
                .or_else(|reason| place.fail(reason))?;
            let what = What::One { kind: value_type.kind(), tag: 2 };
            entries.next_value_seed(Slot { what, place: &place, out }).map(drop)
        })?;
    }
    Ok(true)
}
