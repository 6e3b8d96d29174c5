//! The Location of a redirect, byte for byte as Envoy writes it.
//!
//! In: the redirect, what its rule matched, the head. Out: an absolute URI; and the rewritten path, which
//! `filter::rewrite` shares. Pure.

use super::Head;
use super::matching::bare_path;
use crate::config::{PathMatch, PathRewrite, Redirect};

/// `scheme://host[:port]/path[?query]` of a redirect for one request.
pub(super) fn location(redirect: &Redirect, matched: &PathMatch, head: &Head<'_>) -> String {
    let scheme = match (&redirect.scheme, redirect.https) {
        (Some(scheme), _) => scheme,
        (None, true) => "https",
        (None, false) => head.scheme,
    };
    let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
    let host = match &redirect.host {
        Some(host) => host,
        None => kept_host(head, scheme, !port.is_empty()),
    };
    let path = path(redirect, matched, head.path);
    format!("{scheme}://{host}{port}{path}")
}

/// The request's own host, without a port that the new scheme or port makes wrong.
fn kept_host<'a>(head: &Head<'a>, scheme: &str, new_port: bool) -> &'a str {
    let authority = head.authority;
    let end = match authority.starts_with('[') {
        true => authority.rfind("]:").map(|at| at + 1),
        false => authority.rfind(':'),
    };
    let Some((host, port)) = end.and_then(|end| authority.split_at_checked(end)) else { return authority };
    let default = scheme != head.scheme && matches!((head.scheme, port), ("https", ":443") | ("http", ":80"));
    if new_port || default { host } else { authority }
}

fn path(redirect: &Redirect, matched: &PathMatch, path: &str) -> String {
    let query = path.find('?').and_then(|at| path.get(at..)).unwrap_or("");
    let new = match &redirect.path {
        // A query in the configured path replaces the request's and is never stripped.
        PathRewrite::Full(full) if full.contains('?') => return full.to_string(),
        PathRewrite::Full(full) => format!("{full}{query}"),
        rewrite => rewritten(rewrite, matched, path).unwrap_or_else(|| path.to_owned()),
    };
    match redirect.strip_query {
        true => new.split('?').next().unwrap_or_default().to_owned(),
        false => new,
    }
}

/// The path after `prefix_rewrite` or `regex_rewrite`, query kept; `None` where nothing is rewritten.
/// A prefix rewrite of an exact or regular-expression match replaces the whole path.
pub(crate) fn rewritten(rewrite: &PathRewrite, matched: &PathMatch, path: &str) -> Option<String> {
    let bare = bare_path(path);
    let tail = path.get(bare.len()..).unwrap_or("");
    let new = match rewrite {
        PathRewrite::Keep => return None,
        PathRewrite::Full(full) => full.to_string(),
        PathRewrite::Regex(regex, with) => regex.replace_all(bare, with.as_ref()).into_owned(),
        PathRewrite::Prefix(prefix) => {
            let rest = match matched {
                PathMatch::Prefix { text, .. } | PathMatch::Element { text, .. } => {
                    bare.get(text.len()..).unwrap_or("")
                }
                _ => "",
            };
            format!("{prefix}{rest}")
        }
    };
    Some(new + tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, Method, StatusCode};

    fn redirect() -> Redirect {
        Redirect {
            status: StatusCode::MOVED_PERMANENTLY,
            scheme: None,
            https: false,
            host: None,
            port: None,
            path: PathRewrite::Keep,
            strip_query: false,
        }
    }

    fn prefix(text: &str) -> PathMatch {
        PathMatch::Prefix { text: text.into(), ignore_case: false }
    }

    #[test]
    fn locations() {
        let full = |text: &str| Redirect { path: PathRewrite::Full(text.into()), ..redirect() };
        let cases = [
            (Redirect { https: true, ..redirect() }, "a:80", "/x?y", "https://a/x?y"),
            (Redirect { https: true, ..redirect() }, "a:8080", "/x", "https://a:8080/x"),
            (Redirect { port: Some(81), ..redirect() }, "a:80", "/", "http://a:81/"),
            (Redirect { port: Some(81), ..redirect() }, "[::1]:80", "/", "http://[::1]:81/"),
            (Redirect { https: true, ..redirect() }, "[::1]", "/", "https://[::1]/"),
            (Redirect { host: Some("b".into()), ..redirect() }, "a:80", "/", "http://b/"),
            (Redirect { scheme: Some("https".into()), ..redirect() }, "a:80", "/", "https://a/"),
            (full("/new"), "a", "/old?q=1", "http://a/new?q=1"),
            (full("/new?z"), "a", "/old?q=1", "http://a/new?z"),
            (Redirect { strip_query: true, ..full("/new") }, "a", "/old?q=1", "http://a/new"),
            (
                Redirect { path: PathRewrite::Prefix("/n/".into()), ..redirect() },
                "a",
                "/o/x?q",
                "http://a/n/x?q",
            ),
        ];
        let headers = HeaderMap::new();
        for (redirect, authority, path, want) in cases {
            let head = Head { method: &Method::GET, scheme: "http", authority, path, headers: &headers };
            assert_eq!(location(&redirect, &prefix("/o/"), &head), want, "{redirect:?} {authority} {path}");
        }
    }

    #[test]
    fn rewrites() {
        let exact = PathMatch::Exact { text: "/a".into(), ignore_case: false };
        let regex =
            PathRewrite::Regex(regex::Regex::new("/v([0-9]+)/(.*)").expect("pattern"), "/$2/${1}".into());
        let to = |text: &str| PathRewrite::Prefix(text.into());
        for (rewrite, matched, path, want) in [
            (to("/b"), &prefix("/a"), "/ac?d#e", Some("/bc?d#e")),
            (to("/b"), &exact, "/a?d", Some("/b?d")),
            (to("/"), &prefix("/a/"), "/a/x", Some("/x")),
            (regex, &prefix("/"), "/v1/x?y", Some("/x/1?y")),
            (PathRewrite::Keep, &prefix("/"), "/", None),
        ] {
            assert_eq!(rewritten(&rewrite, matched, path).as_deref(), want, "{rewrite:?} {path}");
        }
    }
}
