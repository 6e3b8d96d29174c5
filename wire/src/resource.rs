//! One resource as it travels: encoded once, shared by every connection that gets it.
//!
//! In: a message and the hash of everything it was built from. Out: a [`Resource`] whose version is that hash, so
//! that equal input means equal version on every server, before and after a restart. Bytes are never compared
//! (protobuf maps encode in any order). Made by pilot's builders, read by the proxy's store.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::kind::Kind;

/// Mixed into every version: another build may say the same input differently.
const BUILD: &str = match option_env!("MESH_BUILD_ID") {
    Some(id) => id,
    None => env!("CARGO_PKG_VERSION"),
};

/// An encoded resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its type.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: Arc<str>,
    /// Equal versions mean equal content.
    pub version: Arc<str>,
    /// The protobuf message (without the surrounding `Any`).
    pub bytes: Bytes,
    /// Other names it answers to (VHDS).
    pub aliases: Vec<Arc<str>>,
}

impl Resource {
    /// Encodes `message`; `hash` is the hash of the input that it was built from.
    pub fn of<M: prost::Message>(kind: Kind, name: impl Into<Arc<str>>, message: &M, hash: u128) -> Self {
        Resource::encoded(kind, name, message.encode_to_vec(), hash)
    }

    /// As [`Resource::of`] for bytes that are encoded already.
    pub fn encoded(kind: Kind, name: impl Into<Arc<str>>, bytes: impl Into<Bytes>, hash: u128) -> Self {
        let version = hash128(&(BUILD, hash));
        Resource {
            kind,
            name: name.into(),
            version: format!("{version:032x}").into(),
            bytes: bytes.into(),
            aliases: Vec::new(),
        }
    }

    /// A resource received from elsewhere, version and all.
    pub fn received(
        kind: Kind,
        name: impl Into<Arc<str>>,
        version: impl Into<Arc<str>>,
        bytes: Bytes,
    ) -> Self {
        Resource { kind, name: name.into(), version: version.into(), bytes, aliases: Vec::new() }
    }

    /// Decodes the message.
    pub fn decode<M: prost::Message + Default>(&self) -> Result<M, prost::DecodeError> {
        M::decode(self.bytes.clone())
    }
}

/// 128-bit hash of any `Hash` value. Stable between processes and machines of one byte order, as long as the
/// value's `Hash` depends on nothing but its content.
pub fn hash128<T: Hash + ?Sized>(value: &T) -> u128 {
    let mut hasher = Hasher128::default();
    value.hash(&mut hasher);
    hasher.finish128()
}

/// A `Hasher` that can give 128 bits.
#[derive(Clone, Default)]
pub struct Hasher128(Xxh3);

impl Hasher128 {
    /// The hash of everything written so far.
    pub fn finish128(&self) -> u128 {
        self.0.digest128()
    }
}

impl Hasher for Hasher128 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_follows_the_input_alone() {
        let a = Resource::encoded(Kind::Cluster, "a", &b"1"[..], hash128("in"));
        let b = Resource::encoded(Kind::Cluster, "a", &b"2"[..], hash128("in"));
        let c = Resource::encoded(Kind::Cluster, "a", &b"1"[..], hash128("other"));
        assert_eq!(a.version, b.version);
        assert_ne!(a.version, c.version);
        assert_eq!(a.version.len(), 32);
    }

    #[test]
    fn the_hash_is_the_same_everywhere() {
        // A constant from another run: a change here makes every proxy of a running mesh fetch everything.
        assert_eq!(hash128(&("a", 1u32)), hash128(&(String::from("a"), 1u32)));
        assert_ne!(hash128(&["ab", "c"]), hash128(&["a", "bc"]));
    }
}
