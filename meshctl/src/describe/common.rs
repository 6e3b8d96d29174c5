//! What all pages of `describe` share: the line between their parts, and how an object is called. Used by every file beside.

/// Between the parts of a page.
pub(super) const LINE: &str = "--------------------\n";

/// The name of an object, with its namespace where that is not the one that is meant.
pub(super) fn name(name: &str, namespace: &str, own: &str) -> String {
    if namespace == own { name.to_owned() } else { format!("{name}.{namespace}") }
}
