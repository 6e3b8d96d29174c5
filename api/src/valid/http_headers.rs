//! Rules for header names and values that routes set, add or remove.

use super::At;
use crate::finding::Code;
use crate::networking::{HeaderOperations, Headers};

pub(super) fn rules(headers: Option<&Headers>, at: &At<'_>) {
    let Some(headers) = headers else { return };
    let at = at.key("headers");
    operations(headers.request.as_ref(), &at.key("request"), true);
    operations(headers.response.as_ref(), &at.key("response"), false);
}

fn operations(operations: Option<&HeaderOperations>, at: &At<'_>, request: bool) {
    let Some(operations) = operations else { return };
    for (field, map) in [("set", &operations.set), ("add", &operations.add)] {
        let at = at.key(field);
        for (name, value) in map {
            let host_rewrite = request && field == "set" && name.eq_ignore_ascii_case("host");
            if !host_rewrite {
                changeable(name, &at.key(name));
            }
            let fits = !value.chars().any(|c| c.is_control() && c != '\t');
            at.key(name).must(fits, Code::BadHeader, || "a header value cannot hold line breaks".to_owned());
        }
    }
    at.key("remove").each(&operations.remove, |at, name| changeable(name, at));
}

/// A header that a route may change.
fn changeable(name: &str, at: &At<'_>) {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        let message = format!("{name:?} cannot be changed here; to change the host, use rewrite.authority");
        return at.tell(Code::BadHeader, message);
    }
    self::name(name, at);
}

/// A header name.
pub(super) fn name(name: &str, at: &At<'_>) {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let fits = !name.is_empty() && name.chars().all(token);
    at.must(fits, Code::BadHeader, || format!("{name:?} is no header name"));
}
