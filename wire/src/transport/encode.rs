//! xDS responses to bytes and back, by hand.
//!
//! In: a response whose resources are encoded already. Out: a rope: small owned pieces (tags, names, versions) around
//! each resource's shared bytes, so that five hundred clients share one encoding. On the way in, resources are slices
//! of the message. Requests are small and go through prost.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use prost::encoding::{
    WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint, skip_field,
};
use tonic::Status;

use super::frame::PREFIX;
use crate::kind::Kind;
use crate::resource::{Resource, hash128};
use crate::{delta, sotw};

/// Shorter resources are copied into the piece around them: a DATA frame each would cost more.
const COPY_BELOW: usize = 4096;

/// A message in pieces, gRPC prefix first.
#[derive(Debug, Default)]
pub(super) struct Rope {
    pieces: Vec<Bytes>,
    current: BytesMut,
}

impl Rope {
    fn text(&mut self, tag: u32, value: &str) {
        if !value.is_empty() {
            self.open(tag, value.len());
            self.current.extend_from_slice(value.as_bytes());
        }
    }

    fn open(&mut self, tag: u32, length: usize) {
        encode_key(tag, WireType::LengthDelimited, &mut self.current);
        encode_varint(length as u64, &mut self.current);
    }

    fn shared(&mut self, tag: u32, bytes: &Bytes) {
        self.open(tag, bytes.len());
        if bytes.len() < COPY_BELOW {
            self.current.extend_from_slice(bytes);
        } else {
            self.pieces.push(self.current.split().freeze());
            self.pieces.push(bytes.clone());
        }
    }

    fn any(&mut self, tag: u32, resource: &Resource) {
        self.open(tag, any_len(resource));
        self.text(1, resource.kind.type_url());
        self.shared(2, &resource.bytes);
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.pieces.push(self.current.freeze());
        let length: usize = self.pieces.iter().map(Bytes::len).sum::<usize>() - PREFIX;
        // The prefix was written with a length of zero before the length was known.
        let mut first = BytesMut::from(&self.pieces[0][..]);
        first[1..PREFIX].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        self.pieces[0] = first.freeze();
        self.pieces
    }

    fn start() -> Self {
        let mut rope = Rope::default();
        rope.current.extend_from_slice(&[0; PREFIX]);
        rope
    }
}

fn field_len(length: usize) -> usize {
    // Every tag used here is below 16: one byte.
    1 + encoded_len_varint(length as u64) + length
}

fn text_len(value: &str) -> usize {
    if value.is_empty() { 0 } else { field_len(value.len()) }
}

fn any_len(resource: &Resource) -> usize {
    text_len(resource.kind.type_url()) + field_len(resource.bytes.len())
}

/// `DeltaDiscoveryResponse`.
pub(super) fn delta_response(response: &delta::Response, control_plane: &str) -> Vec<Bytes> {
    let mut rope = Rope::start();
    for resource in &response.resources {
        let aliases: usize = resource.aliases.iter().map(|alias| field_len(alias.len())).sum();
        let any = field_len(any_len(resource));
        rope.open(2, text_len(&resource.version) + any + text_len(&resource.name) + aliases);
        rope.text(1, &resource.version);
        rope.any(2, resource);
        rope.text(3, &resource.name);
        for alias in &resource.aliases {
            rope.open(4, alias.len());
            rope.current.extend_from_slice(alias.as_bytes());
        }
    }
    rope.text(4, response.kind.type_url());
    rope.text(5, &response.nonce);
    for name in &response.removed {
        rope.open(6, name.len());
        rope.current.extend_from_slice(name.as_bytes());
    }
    if !control_plane.is_empty() {
        rope.open(7, text_len(control_plane));
        rope.text(1, control_plane);
    }
    rope.finish()
}

/// `DiscoveryResponse`.
pub(super) fn sotw_response(response: &sotw::Response, control_plane: &str) -> Vec<Bytes> {
    let mut rope = Rope::start();
    rope.text(1, &response.version);
    for resource in &response.resources {
        rope.any(2, resource);
    }
    rope.text(4, response.kind.type_url());
    rope.text(5, &response.nonce);
    if !control_plane.is_empty() {
        rope.open(6, text_len(control_plane));
        rope.text(1, control_plane);
    }
    rope.finish()
}

/// The length-delimited fields of a message as slices of it; other fields are skipped.
fn fields(message: &Bytes) -> Result<Vec<(u32, Bytes)>, Status> {
    let bad = |e: prost::DecodeError| Status::internal(format!("response does not decode: {e}"));
    let mut rest = &message[..];
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (tag, wire_type) = decode_key(&mut rest).map_err(bad)?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut rest, prost::encoding::DecodeContext::default()).map_err(bad)?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut rest).map_err(bad)?).unwrap_or(usize::MAX);
        if length > rest.len() {
            return Err(Status::internal("response does not decode: it is cut off"));
        }
        let (value, tail) = rest.split_at(length);
        out.push((tag, message.slice_ref(value)));
        rest = tail;
    }
    Ok(out)
}

fn text(bytes: &Bytes) -> Result<Arc<str>, Status> {
    let text = std::str::from_utf8(bytes);
    text.map(Arc::from).map_err(|_| Status::internal("response does not decode: text is not UTF-8"))
}

fn any(bytes: &Bytes) -> Result<(Arc<str>, Bytes), Status> {
    let (mut type_url, mut value) = (Arc::from(""), Bytes::new());
    for (tag, bytes) in fields(bytes)? {
        match tag {
            1 => type_url = text(&bytes)?,
            2 => value = bytes,
            _ => {}
        }
    }
    Ok((type_url, value))
}

/// Reads a `DeltaDiscoveryResponse`; `None` if its type is none of ours.
pub(super) fn read_delta_response(message: &Bytes) -> Result<Option<delta::Response>, Status> {
    let (mut type_url, mut nonce) = (Arc::from(""), Arc::from(""));
    let (mut resources, mut removed) = (Vec::new(), Vec::new());
    for (tag, bytes) in fields(message)? {
        match tag {
            2 => resources.push(bytes),
            4 => type_url = text(&bytes)?,
            5 => nonce = text(&bytes)?,
            6 => removed.push(text(&bytes)?),
            _ => {}
        }
    }
    let Some(kind) = Kind::from_type_url(&type_url) else { return Ok(None) };
    let resources = resources.iter().map(|bytes| read_resource(kind, bytes)).collect::<Result<_, _>>()?;
    Ok(Some(delta::Response { kind, resources, removed, nonce }))
}

fn read_resource(kind: Kind, bytes: &Bytes) -> Result<Arc<Resource>, Status> {
    let (mut name, mut version, mut value) = (Arc::from(""), Arc::from(""), Bytes::new());
    let mut aliases = Vec::new();
    for (tag, bytes) in fields(bytes)? {
        match tag {
            1 => version = text(&bytes)?,
            2 => value = any(&bytes)?.1,
            3 => name = text(&bytes)?,
            4 => aliases.push(text(&bytes)?),
            _ => {}
        }
    }
    Ok(Arc::new(Resource { kind, name, version, bytes: value, aliases }))
}

/// Reads a `DiscoveryResponse`; `None` if its type is none of ours. Names come from inside the resources, versions are
/// hashes of their bytes.
pub(super) fn read_sotw_response(message: &Bytes) -> Result<Option<sotw::Response>, Status> {
    let (mut type_url, mut nonce, mut version) = (Arc::from(""), Arc::from(""), Arc::from(""));
    let mut resources = Vec::new();
    for (tag, bytes) in fields(message)? {
        match tag {
            1 => version = text(&bytes)?,
            2 => resources.push(bytes),
            4 => type_url = text(&bytes)?,
            5 => nonce = text(&bytes)?,
            _ => {}
        }
    }
    let Some(kind) = Kind::from_type_url(&type_url) else { return Ok(None) };
    let read = |bytes: &Bytes| {
        let mut value = any(bytes)?;
        let mut name = None;
        if &*value.0 == "type.googleapis.com/envoy.service.discovery.v3.Resource" {
            let mut inner = Bytes::new();
            for (tag, bytes) in fields(&value.1)? {
                match tag {
                    2 => inner = bytes,
                    3 => name = Some(text(&bytes)?),
                    _ => {}
                }
            }
            value = any(&inner)?;
        }
        let name = match name {
            Some(name) => name,
            None => name_inside(kind, &value.1)?,
        };
        let version = format!("{:032x}", hash128(&value.1[..]));
        Ok::<_, Status>(Arc::new(Resource::received(kind, name, version, value.1)))
    };
    let resources = resources.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Some(sotw::Response { kind, resources, version, nonce }))
}

/// The name of an encoded resource: its first field in every kind that has one.
fn name_inside(kind: Kind, bytes: &Bytes) -> Result<Arc<str>, Status> {
    if kind == Kind::NameTable {
        return Ok("".into());
    }
    let found = fields(bytes)?.into_iter().find(|(tag, _)| *tag == 1);
    found.map_or_else(|| Ok("".into()), |(_, name)| text(&name))
}
