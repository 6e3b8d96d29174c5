//! Rules for metadata of every kind: names, namespaces, labels as Kubernetes demands them.

use std::collections::BTreeMap;

use super::At;
use crate::finding::Code;
use crate::kind::{Family, Kind};
use crate::meta::Meta;

pub(super) fn rules(meta: &Meta, kind: Kind, at: &At<'_>) {
    if !meta.name.is_empty() {
        let fits = if label_name(kind) { is_label(&meta.name) } else { is_subdomain(&meta.name) };
        at.key("name").must(fits, Code::BadName, || {
            let limit = if label_name(kind) { "at most 63 long" } else { "and dots, at most 253 long" };
            format!("{:?} is no {kind} name; use lower-case letters, digits and '-', {limit}", meta.name)
        });
    }
    if !meta.namespace.is_empty() {
        at.key("namespace").must(is_label(&meta.namespace), Code::BadName, || {
            format!("{:?} is no namespace; use lower-case letters, digits and '-'", meta.namespace)
        });
    }
    labels(&meta.labels, &at.key("labels"));
    if kind.row().family == Family::Core {
        return;
    }
    for key in meta.annotations.keys() {
        at.key("annotations").key(key).must(is_label_key(&key.to_lowercase()), Code::BadLabel, || {
            format!("{key:?} is no annotation key; use name or prefix/name")
        });
    }
}

/// Label keys and values.
pub(super) fn labels(labels: &BTreeMap<String, String>, at: &At<'_>) {
    for (key, value) in labels {
        let here = at.key(key);
        here.must(is_label_key(key), Code::BadLabel, || {
            format!("{key:?} is no label key; use name or prefix/name of letters, digits, '-', '_' and '.'")
        });
        here.must(is_label_value(value), Code::BadLabel, || {
            format!("{value:?} is no label value; use at most 63 letters, digits, '-', '_' and '.'")
        });
    }
}

/// RFC 1123 label.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// RFC 1123 subdomain.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_qualified(name),
        None => is_qualified(key),
    }
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_qualified(value)
}

fn is_qualified(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.chars().all(inner) && edge(text.chars().next()) && edge(text.chars().last())
}

/// Whether names of a kind must be a single DNS label.
fn label_name(kind: Kind) -> bool {
    matches!(kind, Kind::Service | Kind::Namespace)
}
