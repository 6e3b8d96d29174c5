//! Descriptors cut to what `reflect` reads, laid out so that a program uses them where they lie in its file: nothing is
//! decoded at start and only what is looked at comes into memory.
//!
//! In: a pool of descriptors. Out: the bytes of `schema.bin`; `src/reflect/schema.rs` reads them and has the same
//! numbers. All integers are little endian: a header of four counts, then records of messages (by name), fields (by
//! number within their message), enums and their values, then text.

use std::collections::HashMap;

use protox::prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, Value};

/// `reflect` remembers the fields that it has seen as bits.
const MOST_FIELDS: usize = 128;
const REPEATED: u8 = 1;
const MAP: u8 = 2;
const PRESENCE: u8 = 4;
const SENSITIVE: u8 = 8;

#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    known: HashMap<String, u32>,
}

impl Text {
    fn put(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
        let at = match self.known.get(text) {
            Some(at) => *at,
            None => {
                let at = u32::try_from(self.bytes.len()).map_err(|e| e.to_string())?;
                self.bytes.extend_from_slice(text.as_bytes());
                self.known.insert(text.to_owned(), at);
                at
            }
        };
        out.extend(at.to_le_bytes());
        out.extend(u16::try_from(text.len()).map_err(|e| e.to_string())?.to_le_bytes());
        Ok(())
    }
}

/// The whole of `schema.bin`.
pub(crate) fn write(pool: &DescriptorPool) -> Result<Vec<u8>, String> {
    let mark = pool.get_extension_by_name("udpa.annotations.sensitive");
    let mark = mark.ok_or("Envoy's files do not say what is sensitive")?;
    let sensitive =
        |field: &FieldDescriptor| matches!(*field.options().get_extension(&mark), Value::Bool(true));
    let mut all: Vec<_> = pool.all_messages().collect();
    all.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    let index: HashMap<&str, u16> = all.iter().map(|one| one.full_name()).zip(0..).collect();
    let enums: Vec<EnumDescriptor> = pool.all_enums().collect();
    let enum_index: HashMap<&str, u16> = enums.iter().map(|one| one.full_name()).zip(0..).collect();
    if index.len() != all.len() || enum_index.len() != enums.len() || all.len() >= usize::from(u16::MAX) {
        return Err("too many messages or enums".into());
    }

    let mut text = Text::default();
    let (mut messages, mut fields, mut kinds, mut values) = (vec![], vec![], vec![], vec![]);
    let (mut field_count, mut value_count) = (0u32, 0u32);
    for message in &all {
        text.put(message.full_name(), &mut messages)?;
        let count = message.fields().len();
        if count > MOST_FIELDS {
            return Err(format!("{} has {count} fields", message.full_name()));
        }
        messages.extend((count as u16).to_le_bytes());
        messages.extend(field_count.to_le_bytes());
        field_count += count as u32;
        let mut sorted: Vec<_> = message.fields().collect();
        sorted.sort_by_key(FieldDescriptor::number);
        for field in sorted {
            text.put(field.name(), &mut fields)?;
            text.put(field.json_name(), &mut fields)?;
            fields.extend(field.number().to_le_bytes());
            let (kind, of) = match field.kind() {
                Kind::Message(of) => (11, index[of.full_name()]),
                Kind::Enum(of) => (14, enum_index[of.full_name()]),
                other => (scalar(&other), 0),
            };
            fields.extend(of.to_le_bytes());
            let oneof = field
                .containing_oneof()
                .and_then(|one| message.oneofs().position(|other| other == one).map(|at| at as u16));
            fields.extend(oneof.unwrap_or(u16::MAX).to_le_bytes());
            let set = |flag: u8, on: bool| if on { flag } else { 0 };
            let flags = set(REPEATED, field.cardinality() == Cardinality::Repeated)
                | set(MAP, field.is_map())
                | set(PRESENCE, field.supports_presence())
                | set(SENSITIVE, sensitive(&field));
            fields.extend([kind, flags]);
        }
    }
    for one in &enums {
        kinds.extend(value_count.to_le_bytes());
        kinds.extend((one.values().len() as u32).to_le_bytes());
        value_count += one.values().len() as u32;
        for value in one.values() {
            text.put(value.name(), &mut values)?;
            values.extend(value.number().to_le_bytes());
        }
    }
    let mut out = Vec::new();
    for count in [all.len() as u32, field_count, enums.len() as u32, value_count] {
        out.extend(count.to_le_bytes());
    }
    for part in [messages, fields, kinds, values, text.bytes] {
        out.extend(part);
    }
    Ok(out)
}

/// Protobuf's own number of a type.
fn scalar(kind: &Kind) -> u8 {
    match kind {
        Kind::Double => 1,
        Kind::Float => 2,
        Kind::Int64 => 3,
        Kind::Uint64 => 4,
        Kind::Int32 => 5,
        Kind::Fixed64 => 6,
        Kind::Fixed32 => 7,
        Kind::Bool => 8,
        Kind::String => 9,
        Kind::Message(_) => 11,
        Kind::Bytes => 12,
        Kind::Uint32 => 13,
        Kind::Enum(_) => 14,
        Kind::Sfixed32 => 15,
        Kind::Sfixed64 => 16,
        Kind::Sint32 => 17,
        Kind::Sint64 => 18,
    }
}
