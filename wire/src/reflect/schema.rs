//! The schema of all messages that may appear in a configuration, as `build/schema.rs` wrote it.
//!
//! In: a type URL or message name. Out: its fields, their kinds, and whether Envoy marks one as secret
//! (`udpa.annotations.sensitive`). Called by both directions of [`super`]. Everything is read where it lies in the
//! program's file: nothing is decoded, allocated or kept, so a process pays for the pages that it looks at.

static BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schema.bin"));

/// Sizes of the records.
const HEADER: usize = 16;
const MESSAGE: usize = 12;
const FIELD: usize = 22;
const ENUM: usize = 8;
const VALUE: usize = 10;

/// A message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message(u16);

/// A field, by its place among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field(u32);

/// An enum type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Enum(u16);

/// What a field, an element of a list or the value of a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int64,
    Uint64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    String,
    Message(Message),
    Bytes,
    Uint32,
    Enum(Enum),
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
}

fn bytes<const N: usize>(at: usize) -> [u8; N] {
    BYTES[at..at + N].try_into().expect("the range is N long")
}

fn u16_at(at: usize) -> u16 {
    u16::from_le_bytes(bytes(at))
}

fn u32_at(at: usize) -> u32 {
    u32::from_le_bytes(bytes(at))
}

fn index_at(at: usize) -> usize {
    usize::try_from(u32_at(at)).expect("the schema is small")
}

/// Number of messages, fields, enums, values.
fn count(section: usize) -> usize {
    index_at(4 * section)
}

fn fields_start() -> usize {
    HEADER + count(0) * MESSAGE
}

fn enums_start() -> usize {
    fields_start() + count(1) * FIELD
}

fn values_start() -> usize {
    enums_start() + count(2) * ENUM
}

/// The text whose record (where, how long) is at `at`.
fn raw(at: usize) -> &'static [u8] {
    let start = values_start() + count(3) * VALUE + index_at(at);
    &BYTES[start..start + usize::from(u16_at(at + 4))]
}

fn text(at: usize) -> &'static str {
    std::str::from_utf8(raw(at)).expect("names are text")
}

impl Message {
    fn at(self) -> usize {
        HEADER + usize::from(self.0) * MESSAGE
    }

    pub(super) fn full_name(self) -> &'static str {
        text(self.at())
    }

    /// The name within `google.protobuf`.
    pub(super) fn well_known(self) -> Option<&'static str> {
        self.full_name().strip_prefix("google.protobuf.")
    }

    /// By rising number.
    pub(super) fn fields(self) -> impl ExactSizeIterator<Item = Field> {
        let first = u32_at(self.at() + 8);
        (first..first + u32::from(u16_at(self.at() + 6))).map(Field)
    }

    pub(super) fn field(self, number: u32) -> Option<Field> {
        self.fields().find(|field| field.number() == number)
    }

    /// By either of its names.
    pub(super) fn field_named(self, name: &str) -> Option<Field> {
        let name = name.as_bytes();
        let proto = self.fields().find(|field| raw(field.at()) == name);
        proto.or_else(|| self.fields().find(|field| raw(field.at() + 6) == name))
    }
}

impl Field {
    fn at(self) -> usize {
        fields_start() + usize::try_from(self.0).expect("the schema is small") * FIELD
    }

    pub(super) fn name(self) -> &'static str {
        text(self.at())
    }

    pub(super) fn json_name(self) -> &'static str {
        text(self.at() + 6)
    }

    pub(super) fn number(self) -> u32 {
        u32_at(self.at() + 12)
    }

    /// Of one value: an element where this is a list.
    pub(super) fn kind(self) -> Kind {
        let of = u16_at(self.at() + 16);
        match BYTES[self.at() + 20] {
            1 => Kind::Double,
            2 => Kind::Float,
            3 => Kind::Int64,
            4 => Kind::Uint64,
            5 => Kind::Int32,
            6 => Kind::Fixed64,
            7 => Kind::Fixed32,
            8 => Kind::Bool,
            9 => Kind::String,
            11 => Kind::Message(Message(of)),
            12 => Kind::Bytes,
            13 => Kind::Uint32,
            14 => Kind::Enum(Enum(of)),
            15 => Kind::Sfixed32,
            16 => Kind::Sfixed64,
            17 => Kind::Sint32,
            _ => Kind::Sint64,
        }
    }

    /// The number of its oneof within the message.
    pub(super) fn oneof(self) -> Option<u16> {
        Some(u16_at(self.at() + 18)).filter(|one| *one != u16::MAX)
    }

    fn flag(self, flag: u8) -> bool {
        BYTES[self.at() + 21] & flag != 0
    }

    /// A list or a map.
    pub(super) fn is_repeated(self) -> bool {
        self.flag(1)
    }

    /// Of a map the type of its entries: key 1, value 2.
    pub(super) fn map(self) -> Option<Message> {
        match self.kind() {
            Kind::Message(entry) if self.flag(2) => Some(entry),
            _ => None,
        }
    }

    /// Whether it can be there with its default value.
    pub(super) fn has_presence(self) -> bool {
        self.flag(4)
    }

    pub(super) fn is_sensitive(self) -> bool {
        self.flag(8)
    }

    /// Its place in its message, below 128.
    pub(super) fn bit(self, message: Message) -> u128 {
        1 << (self.0 - u32_at(message.at() + 8))
    }
}

impl Enum {
    /// `google.protobuf.NullValue`: `NULL_VALUE` is its only one.
    pub(super) fn is_null(self) -> bool {
        self.values().next() == Some(("NULL_VALUE", 0))
    }

    /// Names and numbers in the order of their declaration.
    pub(super) fn values(self) -> impl Iterator<Item = (&'static str, i32)> {
        let record = enums_start() + usize::from(self.0) * ENUM;
        let (first, count) = (index_at(record), index_at(record + 4));
        let places = (first..first + count).map(|index| values_start() + index * VALUE);
        places.map(|at| (text(at), i32::from_le_bytes(bytes(at + 6))))
    }
}

/// Whether this type is known; `type_url` may or may not have its host part.
pub fn knows(type_url: &str) -> bool {
    find(type_url).is_some()
}

/// The type of a type URL or message name.
pub(super) fn find(type_url: &str) -> Option<Message> {
    let name = type_url.rsplit_once('/').map_or(type_url, |(_, name)| name);
    let (mut low, mut high) = (0, u16::try_from(count(0)).expect("the build counted them"));
    while low < high {
        let middle = Message(low + (high - low) / 2);
        match raw(middle.at()).cmp(name.as_bytes()) {
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Less => low = middle.0 + 1,
            std::cmp::Ordering::Greater => high = middle.0,
        }
    }
    None
}
