//! Answers made to order: a status, headers, redirects, cookies, credentials, caches, bytes. In: what the path
//! and query ask for. Out: that, or 400 with the reason. Called by the router of httpbin.

use super::serve::{Asked, wrong};
use crate::net::{Reply, empty, full, html, pretty, text};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Largest body made to order.
const LARGEST: usize = 32 * 1024 * 1024;

const CSS: &str = "body{font-family:system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;\
    line-height:1.6;color:#16181d}code{background:#f1f2f6;padding:.1rem .35rem;border-radius:.3rem}";

/// `/`: what there is.
pub(super) fn index() -> Reply {
    let paths = [
        "/get /post /put /patch /delete /anything",
        "/headers /ip /user-agent /cookies /hostname /dump/request",
        "/status/CODE[:WEIGHT],… /unstable?failure_rate=0.5 /delay/SECONDS /drip",
        "/response-headers?NAME=VALUE /redirect/N /redirect-to?url=URL /cookies/set?NAME=VALUE",
        "/cache /cache/SECONDS /etag/TAG /basic-auth/USER/PASSWORD /bearer",
        "/bytes/N /stream/N /stream-bytes/N /trailers?NAME=VALUE /base64/TEXT /uuid",
        "/html /json /xml /robots.txt /ws-echo",
    ];
    let list: String = paths.iter().map(|line| format!("<p><code>{line}</code></p>")).collect();
    let page = format!("<!DOCTYPE html><meta charset=utf-8><title>httpbin</title><style>{CSS}</style>");
    html(StatusCode::OK, format!("{page}<h1>httpbin</h1><p>Answers with what it was asked.</p>{list}"))
}

/// `/html`.
pub(super) fn page() -> Reply {
    let page = format!("<!DOCTYPE html><meta charset=utf-8><title>A page</title><style>{CSS}</style>");
    html(
        StatusCode::OK,
        format!(
            "{page}<h1>A page</h1><p>It is here to be fetched: some words, a heading, and the characters \
             &lt; &amp; &gt; that a page has to spell out.</p>\n"
        ),
    )
}

/// `/json`.
pub(super) fn document() -> Reply {
    let items = json!([{"name": "first", "tags": ["a", "b"]}, {"name": "second", "tags": []}]);
    pretty(StatusCode::OK, &json!({"title": "A document", "count": 2, "items": items, "nothing": null}))
}

/// `/xml`.
pub(super) fn xml() -> Reply {
    let body = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<document><title>A document</title></document>\n";
    with(text(StatusCode::OK, body), header::CONTENT_TYPE, "application/xml")
}

/// `/status/200`, `/status/200,503`, `/status/200:9,503:1`.
pub(super) fn status(codes: &str) -> Reply {
    let Some(choices) = codes.split(',').map(choice).collect::<Option<Vec<_>>>() else {
        return wrong("expected CODE or CODE:WEIGHT, with commas between; codes from 200 to 599");
    };
    let total: f64 = choices.iter().map(|(_, weight)| weight).sum();
    let mut at = rand::random::<f64>() * total;
    let mut code = choices.last().map_or(StatusCode::OK, |(code, _)| *code);
    for (candidate, weight) in &choices {
        if at < *weight {
            code = *candidate;
            break;
        }
        at -= weight;
    }
    match code.as_u16() {
        301 | 302 | 303 | 305 | 307 | 308 => with(empty(code), header::LOCATION, "/redirect/1"),
        401 => with(empty(code), header::WWW_AUTHENTICATE, "Basic realm=\"Fake Realm\""),
        407 => with(empty(code), header::PROXY_AUTHENTICATE, "Basic realm=\"Fake Realm\""),
        418 => text(code, "I'm a teapot!\n"),
        204 | 304 => empty(code),
        _ => text(code, ""),
    }
}

fn choice(text: &str) -> Option<(StatusCode, f64)> {
    let (code, weight) = text.split_once(':').unwrap_or((text, "1"));
    let code: u16 = code.trim().parse().ok().filter(|code| (200..600).contains(code))?;
    let weight: f64 = weight.trim().parse().ok().filter(|weight| *weight >= 0.0)?;
    Some((StatusCode::from_u16(code).ok()?, weight))
}

/// `/unstable?failure_rate=0.5`.
pub(super) fn unstable(asked: &Asked) -> Reply {
    let rate = asked.param("failure_rate").map_or(Ok(0.5), |rate| rate.parse::<f64>());
    match rate {
        Ok(rate) if (0.0..=1.0).contains(&rate) => {
            let failed = rand::random::<f64>() < rate;
            text(if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }, "")
        }
        _ => wrong("failure_rate is from 0 to 1"),
    }
}

/// `/response-headers?a=1&b=2`: headers as asked, said in the body too.
pub(super) fn response_headers(asked: &Asked) -> Reply {
    let mut said = BTreeMap::<String, Vec<String>>::new();
    let mut headers = Vec::new();
    for (name, value) in asked.query() {
        let (Ok(header), Ok(content)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
        else {
            return wrong(&format!("'{name}: {value}' cannot be a header"));
        };
        headers.push((header, content));
        said.entry(name).or_default().push(value);
    }
    let mut reply = pretty(StatusCode::OK, &said);
    for (name, value) in headers {
        if name == header::CONTENT_TYPE {
            reply.headers_mut().insert(name, value);
        } else {
            reply.headers_mut().append(name, value);
        }
    }
    reply
}

/// `/redirect/N`: N redirects, then `/get`. With `origin` the locations are absolute.
pub(super) fn redirect(n: &str, origin: Option<String>) -> Reply {
    let Ok(n @ 1..=100) = n.parse::<u32>() else { return wrong("expected a number from 1 to 100") };
    let origin_is_said = origin.is_some();
    let origin = origin.unwrap_or_default();
    let location = match (n, origin_is_said) {
        (1, _) => format!("{origin}/get"),
        (n, false) => format!("/redirect/{}", n - 1),
        (n, true) => format!("{origin}/absolute-redirect/{}", n - 1),
    };
    with(empty(StatusCode::FOUND), header::LOCATION, &location)
}

/// `/redirect-to?url=URL&status_code=307`.
pub(super) fn redirect_to(asked: &Asked) -> Reply {
    let code = asked.param("status_code").map_or(Some(302), |code| code.parse::<u16>().ok());
    match (asked.param("url"), code) {
        (Some(url), Some(code @ 300..=399)) if HeaderValue::from_str(&url).is_ok() => {
            let code = StatusCode::from_u16(code).expect("300 to 399 are statuses");
            with(empty(code), header::LOCATION, &url)
        }
        _ => wrong("expected url, and status_code from 300 to 399"),
    }
}

/// `/cookies/set?a=1` and `/cookies/delete?a`.
pub(super) fn set_cookies(asked: &Asked, delete: bool) -> Reply {
    let mut reply = with(empty(StatusCode::FOUND), header::LOCATION, "/cookies");
    for (name, value) in asked.query() {
        let line = if delete {
            format!("{name}=; Max-Age=0; HttpOnly")
        } else {
            format!("{name}={value}; HttpOnly")
        };
        match HeaderValue::from_str(&line) {
            Ok(line) => reply.headers_mut().append(header::SET_COOKIE, line),
            Err(_) => return wrong(&format!("'{name}' cannot be a cookie")),
        };
    }
    reply
}

/// `/cache`: 304 to whoever has it already.
pub(super) fn cache(asked: &Asked, fresh: Reply) -> Reply {
    if asked.headers.contains_key(header::IF_MODIFIED_SINCE)
        || asked.headers.contains_key(header::IF_NONE_MATCH)
    {
        return empty(StatusCode::NOT_MODIFIED);
    }
    let reply = with(fresh, header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT");
    with(reply, header::ETAG, "\"0123456789abcdef\"")
}

/// `/cache/SECONDS`.
pub(super) fn max_age(seconds: &str, reply: Reply) -> Reply {
    match seconds.parse::<u32>() {
        Ok(seconds) => with(reply, header::CACHE_CONTROL, &format!("public, max-age={seconds}")),
        Err(_) => wrong("expected a number of seconds"),
    }
}

/// `/etag/TAG`: honours If-None-Match and If-Match.
pub(super) fn etag(asked: &Asked, tag: &str) -> Reply {
    let quoted = format!("\"{tag}\"");
    if HeaderValue::from_str(&quoted).is_err() {
        return wrong("that cannot be a tag");
    }
    let names = |header| {
        asked.header(header).map(|list| list.split(',').any(|one| one.trim() == quoted || one.trim() == "*"))
    };
    let reply = match (names(header::IF_NONE_MATCH), names(header::IF_MATCH)) {
        (Some(true), _) => empty(StatusCode::NOT_MODIFIED),
        (_, Some(false)) => empty(StatusCode::PRECONDITION_FAILED),
        _ => super::echo::short(asked),
    };
    with(reply, header::ETAG, &quoted)
}

/// `/basic-auth/USER/PASSWORD`.
pub(super) fn basic_auth(asked: &Asked, user: &str, password: &str) -> Reply {
    let given = asked.header(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Basic "));
    let given = given.and_then(|value| STANDARD.decode(value).ok());
    let right = given.is_some_and(|given| given == format!("{user}:{password}").into_bytes());
    let said: Map<String, Value> =
        [("authorized".to_owned(), right.into()), ("user".to_owned(), user.into())].into_iter().collect();
    if right {
        return pretty(StatusCode::OK, &said);
    }
    with(pretty(StatusCode::UNAUTHORIZED, &said), header::WWW_AUTHENTICATE, "Basic realm=\"Fake Realm\"")
}

/// `/bearer`.
pub(super) fn bearer(asked: &Asked) -> Reply {
    let token = asked.header(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    match token {
        Some(token) => pretty(StatusCode::OK, &json!({"authenticated": true, "token": token})),
        None => with(empty(StatusCode::UNAUTHORIZED), header::WWW_AUTHENTICATE, "Bearer"),
    }
}

/// `/base64/TEXT`: decoded.
pub(super) fn base64(value: &str) -> Reply {
    match URL_SAFE.decode(value).or_else(|_| STANDARD.decode(value)) {
        Ok(bytes) => text(StatusCode::OK, bytes),
        Err(cause) => wrong(&cause.to_string()),
    }
}

/// `/uuid`: version 4.
pub(super) fn uuid() -> Reply {
    let bits = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let parts = [hex.get(..8), hex.get(8..12), hex.get(12..16), hex.get(16..20), hex.get(20..)];
    pretty(StatusCode::OK, &json!({"uuid": parts.map(Option::unwrap_or_default).join("-")}))
}

/// `/bytes/N`.
pub(super) fn bytes(n: &str) -> Reply {
    match n.parse::<usize>() {
        Ok(n) if n <= LARGEST => {
            let mut reply = Reply::new(full(noise(n)));
            let kind = HeaderValue::from_static("application/octet-stream");
            reply.headers_mut().insert(header::CONTENT_TYPE, kind);
            reply
        }
        _ => wrong("expected a number of bytes, at most 33554432"),
    }
}

/// `n` bytes that look random: enough not to compress, cheap to make.
pub(super) fn noise(n: usize) -> Vec<u8> {
    let mut state = rand::random::<u64>() | 1;
    let mut out = Vec::with_capacity(n + 8);
    while out.len() < n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(n);
    out
}

fn with(mut reply: Reply, name: HeaderName, value: &str) -> Reply {
    let value = HeaderValue::from_str(value).expect("callers checked or wrote it");
    reply.headers_mut().insert(name, value);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_to_order() {
        assert_eq!(status("418").status(), 418);
        assert_eq!(status("200:0,503:1").status(), 503);
        let reply = status("302");
        assert_eq!(reply.headers()[header::LOCATION], "/redirect/1");
        for bad in ["", "abc", "700", "100", "200:-1", "200,,500"] {
            assert_eq!(status(bad).status(), 400, "{bad}");
        }
    }

    #[test]
    fn noise_has_the_length_asked_for() {
        for n in [0, 1, 7, 8, 9, 1000] {
            assert_eq!(noise(n).len(), n);
        }
    }
}
