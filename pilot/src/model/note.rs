//! How sections say what is wrong with what was written.
//!
//! In: an object, the field, a code and words. Out: a finding with the object's key, file and line. Used by every
//! section.

use api::{Code, FieldPath, Findings, Object, Spec};

use super::service::Source;

/// Adds a finding about a field of an object, with file and line.
pub(super) fn note<T: Spec>(
    out: &mut Findings,
    object: &Object<T>,
    path: &str,
    code: Code,
    message: impl Into<String>,
) {
    out.push(object.origin.finding(object.key(), path, code, message));
}

/// File and line of a field.
pub(super) fn source<T: Spec>(object: &Object<T>, path: &str) -> Source {
    Source { file: object.origin.file.to_string(), line: object.origin.line_of(&FieldPath::parse(path)) }
}
