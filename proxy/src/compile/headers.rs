//! Header changes: from `HeaderValueOption` lists to operations with parsed formats.
//!
//! In: the header lists of a table, host, route or share. Out: `config::HeaderOps`, formats parsed. Called by `route`
//! and `action`.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use wire::pb::envoy::config::core::v3 as core;

use super::read::{At, Lower, Refusal, done, refuse};
use super::text::header_name;
use crate::config::{AppendAction, HeaderOp, HeaderOps, HeaderText};
use crate::observe::TextFormat;

/// The four lists of one place, taken out of its message.
pub(super) struct Lists {
    pub(super) request_add: Vec<core::HeaderValueOption>,
    pub(super) request_remove: Vec<String>,
    pub(super) response_add: Vec<core::HeaderValueOption>,
    pub(super) response_remove: Vec<String>,
}

/// Takes the four lists out of a message that has them.
macro_rules! take_lists {
    ($message:expr) => {
        $crate::compile::headers::Lists {
            request_add: std::mem::take(&mut $message.request_headers_to_add),
            request_remove: std::mem::take(&mut $message.request_headers_to_remove),
            response_add: std::mem::take(&mut $message.response_headers_to_add),
            response_remove: std::mem::take(&mut $message.response_headers_to_remove),
        }
    };
}
pub(super) use take_lists;

/// Header operations of one place.
pub(super) fn operations(lists: Lists) -> Lower<HeaderOps> {
    Ok(HeaderOps {
        request_set: additions(lists.request_add, "request_headers_to_add")?,
        request_remove: removals(lists.request_remove, "request_headers_to_remove")?,
        response_set: additions(lists.response_add, "response_headers_to_add")?,
        response_remove: removals(lists.response_remove, "response_headers_to_remove")?,
    })
}

fn additions(list: Vec<core::HeaderValueOption>, field: &str) -> Lower<Vec<HeaderOp>> {
    let mut operations = Vec::with_capacity(list.len());
    for (index, option) in list.into_iter().enumerate() {
        operations.extend(addition(option).item(field, index)?);
    }
    Ok(operations)
}

fn removals(list: Vec<String>, field: &str) -> Lower<Vec<HeaderName>> {
    list.iter().enumerate().map(|(index, name)| changeable(name).item(field, index)).collect()
}

/// A header that may be changed: not a pseudo header and not the host, which have their own rewrites.
fn changeable(name: &str) -> Lower<HeaderName> {
    let parsed = header_name(name)?;
    if name.starts_with(':') || parsed == http::header::HOST {
        return Err(Refusal::new(format!("{name} cannot be changed by header operations")));
    }
    Ok(parsed)
}

/// `None`: an empty literal, which is not added.
fn addition(mut option: core::HeaderValueOption) -> Lower<Option<HeaderOp>> {
    use core::header_value_option::HeaderAppendAction as A;
    let how = match (option.append.take(), option.append_action()) {
        (Some(append), _) if append.value => AppendAction::AppendOrAdd,
        (Some(_), _) => AppendAction::OverwriteOrAdd,
        (None, A::AppendIfExistsOrAdd) => AppendAction::AppendOrAdd,
        (None, A::AddIfAbsent) => AppendAction::AddIfAbsent,
        (None, A::OverwriteIfExistsOrAdd) => AppendAction::OverwriteOrAdd,
        (None, A::OverwriteIfExists) => AppendAction::OverwriteIfExists,
    };
    option.append_action = 0;
    let keep_empty = std::mem::take(&mut option.keep_empty_value);
    let header = option.header.take().unwrap_or_default();
    done(&option)?;
    let name = changeable(&header.key).at("header.key")?;
    let value = match header.raw_value.is_empty() {
        true => header.value.into_bytes(),
        false => header.raw_value,
    };
    if value.is_empty() && !keep_empty {
        return Ok(None);
    }
    Ok(Some(HeaderOp { name, value: header_text(&value).at("header.value")?, how }))
}

fn header_text(value: &[u8]) -> Lower<HeaderText> {
    match std::str::from_utf8(value) {
        Ok(text) if text.contains('%') => {
            let format = TextFormat::parse(text).map_err(Refusal::new)?;
            Ok(HeaderText::Format(Arc::new(format)))
        }
        _ => match HeaderValue::from_bytes(value) {
            Ok(value) => Ok(HeaderText::Literal(value)),
            Err(_) => refuse("", "not a header value"),
        },
    }
}
