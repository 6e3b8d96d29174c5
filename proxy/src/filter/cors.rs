//! `envoy.filters.http.cors`: answers preflights and marks responses to allowed origins.
//!
//! In: the policy in force, the request's head or the response's headers. Out: the answer to a preflight; headers set.
//! Called by `run` and by `http::respond`.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN,
};
use http::{HeaderMap, HeaderValue, Method};

use super::Cors;
use crate::dice::Dice;
use crate::router::Head;

/// The answer to a preflight: headers of a 200 without body. `None`: the request goes on.
pub(super) fn preflight(cors: &Cors, head: &Head<'_>, dice: &mut Dice) -> Option<HeaderMap> {
    let origin = head.headers.get(ORIGIN)?;
    let asked = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD).is_some_and(|method| !method.is_empty());
    if head.method != Method::OPTIONS || !asked || !dice.hits(cors.enabled) {
        return None;
    }
    let mut answer = HeaderMap::new();
    if !allowed(cors, origin) {
        return (!cors.forward_not_matching_preflights).then_some(answer);
    }
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    put(&mut answer, ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
    put(&mut answer, ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
    put(&mut answer, ACCESS_CONTROL_MAX_AGE, &cors.max_age);
    credentials(cors, &mut answer);
    Some(answer)
}

/// Marks the response to a request that came with `origin`.
pub(super) fn mark(cors: &Cors, origin: &HeaderValue, response: &mut HeaderMap) {
    if cors.enabled == 0 || !allowed(cors, origin) {
        return;
    }
    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    credentials(cors, response);
    put(response, ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers);
}

fn allowed(cors: &Cors, origin: &HeaderValue) -> bool {
    cors.origins.iter().any(|one| match one {
        crate::config::TextMatch::Exact { text, .. } if &**text == "*" => true,
        one => one.matches(origin.as_bytes()),
    })
}

fn credentials(cors: &Cors, headers: &mut HeaderMap) {
    if cors.allow_credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text)
        && !text.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TextMatch;

    fn cors(forward: bool) -> Cors {
        Cors {
            origins: vec![TextMatch::Exact { text: "http://a".into(), ignore_case: false }],
            allow_methods: "GET,POST".into(),
            allow_headers: "".into(),
            expose_headers: "x-e".into(),
            max_age: "86400".into(),
            allow_credentials: true,
            forward_not_matching_preflights: forward,
            enabled: 1_000_000,
        }
    }

    fn ask(cors: &Cors, method: Method, origin: &'static str, asked: bool) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        if !origin.is_empty() {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        if asked {
            headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        }
        let head = Head { method: &method, scheme: "http", authority: "a", path: "/", headers: &headers };
        preflight(cors, &head, &mut Dice::new(1))
    }

    #[test]
    fn preflights() {
        let answer =
            ask(&cors(true), Method::OPTIONS, "http://a", true).expect("a preflight of an allowed origin");
        assert_eq!(answer.len(), 4, "{answer:?}");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_METHODS], "GET,POST");
        assert!(ask(&cors(true), Method::GET, "http://a", true).is_none());
        assert!(ask(&cors(true), Method::OPTIONS, "http://a", false).is_none());
        assert!(ask(&cors(true), Method::OPTIONS, "", true).is_none());
        assert!(ask(&cors(true), Method::OPTIONS, "http://b", true).is_none());
        assert_eq!(ask(&cors(false), Method::OPTIONS, "http://b", true), Some(HeaderMap::new()));
    }

    #[test]
    fn responses() {
        let mut response = HeaderMap::new();
        mark(&cors(true), &HeaderValue::from_static("http://b"), &mut response);
        assert!(response.is_empty());
        mark(&cors(true), &HeaderValue::from_static("http://a"), &mut response);
        assert_eq!(response[ACCESS_CONTROL_EXPOSE_HEADERS], "x-e");
        assert_eq!(response.len(), 3);
    }
}
