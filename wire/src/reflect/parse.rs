//! The bytes of one message, sorted by field.
//!
//! In: encoded bytes and their type. Out: for each field that is there what it holds, still encoded, in the order of the
//! numbers; of a oneof the last that was set. Called by `to_json`. What is no such message is `Broken`.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::schema::{Field, Kind, Message};

/// Bytes that are no message of their type.
#[derive(Debug)]
pub(super) struct Broken;

impl From<prost::DecodeError> for Broken {
    fn from(_: prost::DecodeError) -> Self {
        Broken
    }
}

/// One value as it lies on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'b> {
    Varint(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(&'b [u8]),
}

/// What fields hold, by rising number; several where a field is a list or was sent in parts.
pub(super) fn parse<'b>(of: Message, mut from: &'b [u8]) -> Result<Vec<(Field, Vec<Raw<'b>>)>, Broken> {
    let mut out: Vec<(Field, Vec<Raw<'b>>)> = Vec::new();
    while !from.is_empty() {
        let (number, wire) = decode_key(&mut from)?;
        let Some(field) = of.field(number) else {
            skip_field(wire, number, &mut from, DecodeContext::default())?;
            continue;
        };
        let raw = match wire {
            WireType::Varint => Raw::Varint(decode_varint(&mut from)?),
            WireType::SixtyFourBit => Raw::Eight(take(&mut from)?),
            WireType::ThirtyTwoBit => Raw::Four(take(&mut from)?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut from)?).map_err(|_| Broken)?;
                let (bytes, rest) = from.split_at_checked(length).ok_or(Broken)?;
                from = rest;
                Raw::Bytes(bytes)
            }
            WireType::StartGroup | WireType::EndGroup => return Err(Broken),
        };
        if let Some(oneof) = field.oneof() {
            out.retain(|(other, _)| *other == field || other.oneof() != Some(oneof));
        }
        let place = out.binary_search_by_key(&number, |(other, _)| other.number());
        let values = match place {
            Ok(at) => &mut out[at].1,
            Err(at) => {
                out.insert(at, (field, Vec::new()));
                &mut out[at].1
            }
        };
        match raw {
            Raw::Bytes(bytes) if field.is_repeated() && is_packable(field.kind()) => {
                unpack(field.kind(), bytes, values)?;
            }
            raw => values.push(raw),
        }
    }
    Ok(out)
}

fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], Broken> {
    let (bytes, rest) = from.split_first_chunk().ok_or(Broken)?;
    *from = rest;
    Ok(*bytes)
}

fn is_packable(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
}

fn unpack<'b>(kind: Kind, mut from: &'b [u8], out: &mut Vec<Raw<'b>>) -> Result<(), Broken> {
    while !from.is_empty() {
        out.push(match kind {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Raw::Eight(take(&mut from)?),
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Raw::Four(take(&mut from)?),
            _ => Raw::Varint(decode_varint(&mut from)?),
        });
    }
    Ok(())
}
