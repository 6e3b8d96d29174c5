//! The descriptors of all messages that may appear in a configuration, made by `build.rs`.
//!
//! In: a type URL or message name. Out: its descriptor, and whether a field is marked secret by Envoy
//! (`udpa.annotations.sensitive`). Called by both directions of [`super`].

use std::collections::HashSet;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, Value};

static BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(BYTES).expect("the build script made this set and protox checked it")
});

static SENSITIVE: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let Some(mark) = POOL.get_extension_by_name("udpa.annotations.sensitive") else {
        return HashSet::new();
    };
    let marked = |field: &FieldDescriptor| matches!(*field.options().get_extension(&mark), Value::Bool(true));
    let fields = POOL.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>());
    fields.filter(marked).map(|field| field.full_name().to_owned()).collect()
});

/// The pool itself.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// Whether this type is in the pool; `type_url` may or may not have its host part.
pub fn knows(type_url: &str) -> bool {
    find(type_url).is_some()
}

/// The descriptor of a type URL or message name.
pub(super) fn find(type_url: &str) -> Option<MessageDescriptor> {
    let name = type_url.rsplit_once('/').map_or(type_url, |(_, name)| name);
    POOL.get_message_by_name(name)
}

pub(super) fn is_sensitive(field: &FieldDescriptor) -> bool {
    SENSITIVE.contains(field.full_name())
}
