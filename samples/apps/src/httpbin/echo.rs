//! Answers about the request itself. In: a request with its body read. Out: JSON with `args`, `headers`,
//! `method`, `origin`, `url`, and for requests with a body `data`, `form`, `files`, `json`.
//! Called by the router of httpbin.

use super::serve::Asked;
use crate::net::{Reply, pairs, pretty, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// `/get`, `/delay`, `/cache`: everything but the body.
pub(super) fn short(asked: &Asked) -> Reply {
    pretty(StatusCode::OK, &about(asked))
}

/// `/post`, `/anything` and so on: everything.
pub(super) fn long(asked: &Asked) -> Reply {
    let kind = asked.header(header::CONTENT_TYPE).unwrap_or_default();
    let body = String::from_utf8_lossy(&asked.body);
    let is_form = kind.starts_with("application/x-www-form-urlencoded");
    let form = if is_form { lists(pairs(&body)) } else { Map::new() };
    let data = match std::str::from_utf8(&asked.body) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("data:application/octet-stream;base64,{}", STANDARD.encode(&asked.body)),
    };
    let parsed: Value =
        if is_form { Value::Null } else { serde_json::from_slice(&asked.body).unwrap_or_default() };
    let mut reply = about(asked);
    reply["data"] = data.into();
    reply["files"] = json!({});
    reply["form"] = form.into();
    reply["json"] = parsed;
    pretty(StatusCode::OK, &reply)
}

/// `/headers`.
pub(super) fn headers(asked: &Asked) -> Reply {
    pretty(StatusCode::OK, &json!({"headers": header_lists(asked)}))
}

/// `/ip`.
pub(super) fn ip(asked: &Asked) -> Reply {
    pretty(StatusCode::OK, &json!({"origin": origin(asked)}))
}

/// `/user-agent`.
pub(super) fn user_agent(asked: &Asked) -> Reply {
    pretty(StatusCode::OK, &json!({"user-agent": asked.header(header::USER_AGENT)}))
}

/// `/cookies`.
pub(super) fn cookies(asked: &Asked) -> Reply {
    let lines = asked.headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let cookies: BTreeMap<&str, &str> =
        lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('=')).collect();
    pretty(StatusCode::OK, &json!({"cookies": cookies}))
}

/// `/dump/request`: the request as text.
pub(super) fn dump(asked: &Asked) -> Reply {
    let mut out = format!("{} {}\n", asked.method, asked.uri);
    for (name, value) in &asked.headers {
        writeln!(out, "{}: {}", capitals(name.as_str()), value.as_bytes().escape_ascii())
            .expect("a string takes all");
    }
    writeln!(out, "\n{}", String::from_utf8_lossy(&asked.body)).expect("a string takes all");
    text(StatusCode::OK, out)
}

/// Scheme and authority as the client wrote them.
pub(super) fn origin_of(asked: &Asked) -> String {
    let scheme = match asked.header("x-forwarded-proto") {
        Some(scheme @ ("http" | "https")) => scheme,
        _ if asked.secure => "https",
        _ => "http",
    };
    format!("{scheme}://{}", host(asked))
}

fn about(asked: &Asked) -> Value {
    json!({
        "args": lists(asked.query()),
        "headers": header_lists(asked),
        "method": asked.method.as_str(),
        "origin": origin(asked),
        "url": format!("{}{}", origin_of(asked), asked.uri.path_and_query().map_or("/", |path| path.as_str())),
    })
}

/// The client's address: the first of `x-forwarded-for`, else the peer's.
fn origin(asked: &Asked) -> String {
    let forwarded = asked.header("x-forwarded-for").and_then(|list| list.split(',').next());
    forwarded.map_or_else(|| asked.peer.to_string(), |first| first.trim().to_owned())
}

fn host(asked: &Asked) -> String {
    let authority = asked.uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| asked.header(header::HOST)).unwrap_or_default().to_owned()
}

fn lists(pairs: Vec<(String, String)>) -> Map<String, Value> {
    let mut out = BTreeMap::<String, Vec<String>>::new();
    for (key, value) in pairs {
        out.entry(key).or_default().push(value);
    }
    out.into_iter().map(|(key, values)| (key, values.into())).collect()
}

fn header_lists(asked: &Asked) -> Map<String, Value> {
    let headers: &HeaderMap = &asked.headers;
    let mut pairs: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| {
            (capitals(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    if !headers.contains_key(header::HOST) {
        pairs.push(("Host".to_owned(), host(asked)));
    }
    lists(pairs)
}

/// `x-request-id` as `X-Request-Id`.
fn capitals(name: &str) -> String {
    let mut start = true;
    let turn = |c: char| {
        let out = if start { c.to_ascii_uppercase() } else { c };
        start = c == '-';
        out
    };
    name.chars().map(turn).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn header_names_in_capitals() {
        assert_eq!(super::capitals("x-forwarded-client-cert"), "X-Forwarded-Client-Cert");
    }
}
