//! Does one rule match one request: path, headers, query, fraction. Semantics of Envoy's `RouteMatch`.
//!
//! In: a compiled rule, the head, dice for fractions. Out: yes or no, and for `explain` the first thing that did not
//! fit. Pure.

use std::borrow::Cow;

use super::Head;
use crate::config::{HeaderMatch, HeaderRule, PathMatch, Pseudo, QueryMatch, Rule, TextMatch};
use crate::dice::Dice;

/// True when all conditions of the rule hold. Dice are thrown only if everything else matched.
pub fn rule_matches(rule: &Rule, head: &Head<'_>, dice: &mut Dice) -> bool {
    path_matches(&rule.path, head)
        && headers_match(&rule.headers, head)
        && query_matches(&rule.query, head.path)
        && rule.fraction.is_none_or(|parts| dice.hits(parts))
}

/// Name of the first condition that fails, the fraction aside.
pub(super) fn first_failure(rule: &Rule, head: &Head<'_>) -> Option<String> {
    if !path_matches(&rule.path, head) {
        return Some("path".to_owned());
    }
    if let Some(header) = rule.headers.iter().find(|one| !header_matches(one, head)) {
        let name = header.pseudo.map_or_else(|| header.name.as_str(), |pseudo| pseudo.name());
        return Some(format!("header {name}"));
    }
    let failed = rule.query.iter().find(|one| !query_matches(std::slice::from_ref(*one), head.path));
    failed.map(|one| format!("query {}", one.name))
}

/// All header conditions hold; an empty list always does.
pub fn headers_match(list: &[HeaderMatch], head: &Head<'_>) -> bool {
    list.iter().all(|one| header_matches(one, head))
}

/// One header condition. A missing header fails every condition but "present", inverted or not, unless
/// `treat_missing_header_as_empty` says otherwise. Repeated headers are joined by commas.
pub fn header_matches(want: &HeaderMatch, head: &Head<'_>) -> bool {
    let value: Option<Cow<'_, [u8]>> = match want.pseudo {
        Some(Pseudo::Method) => Some(head.method.as_str().as_bytes().into()),
        Some(Pseudo::Authority) => Some(head.authority.as_bytes().into()),
        Some(Pseudo::Path) => Some(head.path.as_bytes().into()),
        Some(Pseudo::Scheme) => Some(head.scheme.as_bytes().into()),
        None if want.name == http::header::HOST => Some(head.authority.as_bytes().into()),
        None => joined(head.headers, &want.name),
    };
    if let HeaderRule::Present(present) = want.rule {
        let is = value.is_some() || want.missing_is_empty;
        return (is == present) != want.invert;
    }
    let value = match value {
        Some(value) => value,
        None if want.missing_is_empty => Cow::Borrowed(&b""[..]),
        None => return false,
    };
    let fits = match &want.rule {
        HeaderRule::Present(_) => true,
        HeaderRule::Text(text) => text.matches(&value),
        HeaderRule::Range { start, end } => std::str::from_utf8(&value)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .is_some_and(|number| (*start..*end).contains(&number)),
    };
    fits != want.invert
}

fn joined<'a>(headers: &'a http::HeaderMap, name: &http::HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.as_bytes();
    let mut value = Cow::Borrowed(first);
    for more in all {
        let value = value.to_mut();
        value.push(b',');
        value.extend_from_slice(more.as_bytes());
    }
    Some(value)
}

/// Path without query and fragment.
pub(crate) fn bare_path(path: &str) -> &str {
    path.find(['?', '#']).and_then(|end| path.get(..end)).unwrap_or(path)
}

fn path_matches(want: &PathMatch, head: &Head<'_>) -> bool {
    let path = bare_path(head.path);
    match want {
        PathMatch::Exact { text, ignore_case } => equal(path, text, *ignore_case),
        PathMatch::Prefix { text, ignore_case } => starts(path, text, *ignore_case),
        PathMatch::Element { text, ignore_case } => {
            starts(path, text, *ignore_case)
                && (path.len() == text.len() || path.as_bytes().get(text.len()) == Some(&b'/'))
        }
        PathMatch::Regex(regex) => regex.is_match(path.as_bytes()),
        PathMatch::Connect => head.method == http::Method::CONNECT,
    }
}

fn equal(path: &str, text: &str, ignore_case: bool) -> bool {
    if ignore_case { path.eq_ignore_ascii_case(text) } else { path == text }
}

fn starts(path: &str, text: &str, ignore_case: bool) -> bool {
    path.as_bytes().get(..text.len()).is_some_and(|start| match ignore_case {
        true => start.eq_ignore_ascii_case(text.as_bytes()),
        false => start == text.as_bytes(),
    })
}

fn query_matches(want: &[QueryMatch], path: &str) -> bool {
    want.is_empty() || {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or("");
        want.iter()
            .all(|one| query_value(query, &one.name).is_some_and(|value| fits(one.rule.as_ref(), &value)))
    }
}

fn fits(rule: Option<&TextMatch>, value: &str) -> bool {
    rule.is_none_or(|rule| rule.matches(value.as_bytes()))
}

/// First value of a query parameter, percent-decoded as Envoy does before it matches.
pub(crate) fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decoded(key) == name).then(|| percent_decoded(value))
    })
}

fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue, Method};

    fn head<'a>(path: &'a str, headers: &'a HeaderMap) -> Head<'a> {
        Head { method: &Method::GET, scheme: "http", authority: "Shop:80", path, headers }
    }

    fn regex(pattern: &str) -> regex::bytes::Regex {
        regex::bytes::Regex::new(&format!("^(?:{pattern})$")).expect("test pattern")
    }

    #[test]
    fn paths() {
        let none = HeaderMap::new();
        let exact = |text: &str, ignore_case| PathMatch::Exact { text: text.into(), ignore_case };
        let prefix = |text: &str, ignore_case| PathMatch::Prefix { text: text.into(), ignore_case };
        let element = |text: &str| PathMatch::Element { text: text.into(), ignore_case: false };
        for (want, path, is) in [
            (exact("/a", false), "/a?x=1", true),
            (exact("/a", false), "/A", false),
            (exact("/a", true), "/A#frag", true),
            (exact("/a", false), "/a/", false),
            (prefix("/a", false), "/ab", true),
            (prefix("/a", true), "/AB", true),
            (prefix("/a", false), "/", false),
            (element("/a"), "/ab", false),
            (element("/a"), "/a/b", true),
            (element("/a"), "/a?q", true),
            (PathMatch::Regex(regex("/v[0-9]+/.*")), "/v1/x?y", true),
            (PathMatch::Regex(regex("/v[0-9]+")), "/v1/x", false),
            (PathMatch::Connect, "/", false),
        ] {
            assert_eq!(path_matches(&want, &head(path, &none)), is, "{want:?} {path}");
        }
    }

    #[test]
    fn headers() {
        let mut map = HeaderMap::new();
        map.append("user", HeaderValue::from_static("jason"));
        map.append("n", HeaderValue::from_static("1"));
        map.append("n", HeaderValue::from_static("2"));
        let text = |t: &str| HeaderRule::Text(TextMatch::Exact { text: t.into(), ignore_case: false });
        let want = |name: &'static str, rule, invert, missing_is_empty| HeaderMatch {
            name: HeaderName::from_static(name),
            pseudo: None,
            rule,
            invert,
            missing_is_empty,
        };
        for (want, is) in [
            (want("user", text("jason"), false, false), true),
            (want("user", text("jason"), true, false), false),
            (want("user", text("eve"), true, false), true),
            (want("none", text("eve"), true, false), false),
            (want("none", text("eve"), true, true), true),
            (want("none", HeaderRule::Present(true), true, false), true),
            (want("none", HeaderRule::Present(false), false, false), true),
            (want("user", HeaderRule::Present(true), false, false), true),
            (want("n", text("1,2"), false, false), true),
            (want("n", HeaderRule::Range { start: 1, end: 3 }, false, false), false),
            (want("host", text("Shop:80"), false, false), true),
        ] {
            assert_eq!(header_matches(&want, &head("/", &map)), is, "{want:?}");
        }
    }

    #[test]
    fn queries() {
        let want = |rule| [QueryMatch { name: "k".into(), rule }];
        let exact = |t: &str| Some(TextMatch::Exact { text: t.into(), ignore_case: false });
        for (want, path, is) in [
            (want(None), "/?k", true),
            (want(None), "/?kk=1", false),
            (want(exact("a b")), "/?x=1&k=a%20b", true),
            (want(exact("1")), "/?k=2&k=1", false),
            (want(exact("")), "/", false),
        ] {
            assert_eq!(query_matches(&want, path), is, "{path}");
        }
    }
}
