//! What the codec of HTTP/2 lets pass, and HTTP/1.1 could not say or would say in another way. Pure.
//!
//! In: the head of a stream. Out: whether it is malformed (RFC 9113 8.1.1, 8.3.1), by the rules that Envoy has. Called by
//! `streams` for each request and by `up` for each response; the stream of such a one is reset and nothing of it goes on.

use http::request::Parts;
use http::{HeaderMap, Method, header};

use crate::h1::is_host;

/// True where the stream is to be reset.
pub(super) fn is_malformed(parts: &Parts) -> bool {
    has_odd_fields(&parts.headers) || has_odd_target(parts) || has_odd_host(parts)
}

/// Two lengths, or a name that HTTP/1.1 has not.
pub(super) fn has_odd_fields(headers: &HeaderMap) -> bool {
    let twice = headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some();
    // The one character that this kind of name may have and a token may not.
    twice || headers.keys().any(|name| name.as_str().contains('"'))
}

fn has_odd_target(parts: &Parts) -> bool {
    let scheme = parts.uri.scheme_str().unwrap_or("http").as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scheme.iter().all(plain) {
        return true;
    }
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let leads = match path.as_bytes().first() {
        Some(b'/') => true,
        Some(b'*') => parts.method == Method::OPTIONS,
        _ => parts.method == Method::CONNECT,
    };
    !leads || !path.is_ascii()
}

/// There is not exactly one host, or it is none.
fn has_odd_host(parts: &Parts) -> bool {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match parts.uri.authority() {
        Some(authority) if authority.as_str().contains('@') => true,
        Some(_) => hosts.any(|host| !is_host(host.as_bytes())),
        None => !hosts.next().is_some_and(|host| is_host(host.as_bytes())) || hosts.next().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn judged(method: &str, uri: &str, fields: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            // As the codec makes them, which knows one character more.
            request = request.header(HeaderName::from_lowercase(name.as_bytes()).unwrap(), *value);
        }
        is_malformed(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn heads() {
        let uri = "http://app.example.com/x?y";
        for (method, uri, fields, wanted) in [
            ("GET", uri, &[][..], false),
            ("POST", uri, &[("content-length", "5"), ("host", "other:80")], false),
            ("POST", uri, &[("content-length", "5"), ("content-length", "5")], true),
            ("GET", uri, &[("x\"y", "z")], true),
            ("GET", uri, &[("host", "a b")], true),
            ("GET", uri, &[("host", "")], true),
            ("GET", "/x", &[("host", "a")], false),
            ("GET", "/x", &[], true),
            ("GET", "/x", &[("host", "a"), ("host", "a")], true),
            ("GET", "http://user@a/x", &[], true),
            ("GET", "http://a/x?\u{e9}", &[], true),
            ("GET", "*", &[("host", "a")], true),
            ("OPTIONS", "*", &[("host", "a")], false),
            ("CONNECT", "app.example.com:80", &[], false),
            ("GET", "h~p://a/", &[], true),
        ] {
            assert_eq!(judged(method, uri, fields), wanted, "{method} {uri} {fields:?}");
        }
    }
}
