//! Header edits as Envoy says them.
//!
//! A value may use substitutions (`%DOWNSTREAM_REMOTE_ADDRESS%`); a percent sign that starts none is escaped, or
//! one odd value would make a client refuse the whole virtual host.

use envoy_types::pb::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction,
};

use crate::model::routes::route::Edits;

/// Headers to add or set, and to remove.
#[derive(Default)]
pub(super) struct Lists {
    pub add: Vec<HeaderValueOption>,
    pub remove: Vec<String>,
    /// `Host` is no header to edit: its value replaces the authority.
    pub authority: Option<String>,
}

/// The lists of one direction.
pub(super) fn lists(edits: &Edits) -> Lists {
    let mut out = Lists::default();
    let each = [
        (&edits.set, HeaderAppendAction::OverwriteIfExistsOrAdd),
        (&edits.add, HeaderAppendAction::AppendIfExistsOrAdd),
    ];
    for (map, action) in each {
        for (key, value) in map {
            if is_authority(key) {
                out.authority = Some(value.clone());
            } else if !key.starts_with(':') {
                out.add.push(option(key, value, action));
            }
        }
    }
    out.remove =
        edits.remove.iter().filter(|key| !is_authority(key) && !key.starts_with(':')).cloned().collect();
    out
}

fn is_authority(key: &str) -> bool {
    key.eq_ignore_ascii_case("host") || key == ":authority"
}

fn option(key: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: key.to_ascii_lowercase(),
            value: escape(value),
            ..Default::default()
        }),
        append_action: action as i32,
        ..Default::default()
    }
}

/// Doubles each percent sign that starts no substitution.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('%') {
            out.push_str("%%");
            rest = tail;
        } else if let Some((word, tail)) = after.split_once('%').filter(|(word, _)| is_command(word)) {
            out.push('%');
            out.push_str(word);
            out.push('%');
            rest = tail;
        } else {
            out.push_str("%%");
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// `NAME`, `NAME(argument)`, `NAME:length`.
fn is_command(word: &str) -> bool {
    let name = word.split(['(', ':']).next().unwrap_or_default();
    const KNOWN: &[&str] = &[
        "REQ",
        "RESP",
        "TRAILER",
        "PROTOCOL",
        "HOSTNAME",
        "START_TIME",
        "ROUTE_NAME",
        "VIRTUAL_CLUSTER_NAME",
        "UPSTREAM_HOST",
        "UPSTREAM_CLUSTER",
        "UPSTREAM_LOCAL_ADDRESS",
        "UPSTREAM_REMOTE_ADDRESS",
        "REQUESTED_SERVER_NAME",
        "RESPONSE_CODE",
        "RESPONSE_FLAGS",
        "RESPONSE_CODE_DETAILS",
        "CONNECTION_ID",
        "STREAM_ID",
        "ENVIRONMENT",
        "DYNAMIC_METADATA",
        "FILTER_STATE",
        "PER_REQUEST_STATE",
        "UPSTREAM_METADATA",
        "REQ_WITHOUT_QUERY",
        "BYTES_RECEIVED",
        "BYTES_SENT",
        "DURATION",
    ];
    KNOWN.contains(&name)
        || (name.starts_with("DOWNSTREAM_") && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs() {
        assert_eq!(escape("100%"), "100%%");
        assert_eq!(escape("50% of 60%"), "50%% of 60%%");
        assert_eq!(escape("%DOWNSTREAM_REMOTE_ADDRESS%"), "%DOWNSTREAM_REMOTE_ADDRESS%");
        assert_eq!(escape("a%%b"), "a%%b");
        assert_eq!(escape("%REQ(x-id)% %"), "%REQ(x-id)% %%");
    }

    #[test]
    fn host_is_an_authority() {
        let edits = Edits { set: [("Host".to_owned(), "a".to_owned())].into(), ..Default::default() };
        let lists = lists(&edits);
        assert_eq!((lists.authority.as_deref(), lists.add.len()), (Some("a"), 0));
    }
}
