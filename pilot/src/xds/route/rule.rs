//! The match of a route.
//!
//! Conditions on the client (labels, namespace, gateway, port) are not here: pilot has already decided them.

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};

use crate::model::routes::route::{HttpMatch, Text};
use crate::xds::proto::{boolean, regex, string_matcher};

/// Everything.
pub(super) fn always() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..Default::default() }
}

/// The match of one `match` entry.
pub(super) fn route_match(from: &HttpMatch) -> RouteMatch {
    let path = match &from.uri {
        None | Some(Text::Present) => PathSpecifier::Prefix("/".to_owned()),
        Some(Text::Exact(path)) => PathSpecifier::Path(path.clone()),
        Some(Text::Prefix(prefix)) => PathSpecifier::Prefix(prefix.clone()),
        Some(Text::Regex(pattern)) => PathSpecifier::SafeRegex(regex(pattern)),
    };
    let plain = !matches!(path, PathSpecifier::SafeRegex(_));
    let mut headers = Vec::new();
    let special = [
        (":scheme", &from.scheme, false),
        (":method", &from.method, false),
        (":authority", &from.authority, true),
    ];
    for (name, text, ignore_case) in special {
        headers.extend(text.as_ref().map(|text| header(name, text, ignore_case)));
    }
    headers.extend(from.headers.iter().map(|(name, text)| header(name, text, false)));
    headers.extend(from.without_headers.iter().map(|(name, text)| without(name, text)));
    RouteMatch {
        path_specifier: Some(path),
        case_sensitive: (from.ignore_uri_case && plain).then(|| boolean(false)),
        headers,
        query_parameters: from.query.iter().map(|(name, text)| query(name, text)).collect(),
        ..Default::default()
    }
}

/// Whether a match takes every request, so that what follows is never reached.
pub(super) fn takes_everything(from: &RouteMatch) -> bool {
    from.headers.is_empty()
        && from.query_parameters.is_empty()
        && match &from.path_specifier {
            Some(PathSpecifier::Prefix(prefix)) => prefix == "/",
            Some(PathSpecifier::SafeRegex(pattern)) => matches!(pattern.regex.as_str(), ".*" | "/.*"),
            _ => false,
        }
}

/// How the match reads in the name of a span: `/productpage`, `/api/v1*`, `/*`.
pub(super) fn path_text(from: &RouteMatch) -> String {
    match &from.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => format!("{prefix}*"),
        Some(PathSpecifier::Path(path)) => path.clone(),
        Some(PathSpecifier::SafeRegex(pattern)) => pattern.regex.clone(),
        _ => "/*".to_owned(),
    }
}

fn header(name: &str, text: &Text, ignore_case: bool) -> HeaderMatcher {
    let specifier = match text {
        Text::Present => HeaderMatchSpecifier::PresentMatch(true),
        text => HeaderMatchSpecifier::StringMatch(string_matcher(text, ignore_case)),
    };
    HeaderMatcher { name: name.to_owned(), header_match_specifier: Some(specifier), ..Default::default() }
}

/// An absent header does not have the value, so it must count as empty.
fn without(name: &str, text: &Text) -> HeaderMatcher {
    HeaderMatcher {
        invert_match: true,
        treat_missing_header_as_empty: *text != Text::Present,
        ..header(name, text, false)
    }
}

fn query(name: &str, text: &Text) -> QueryParameterMatcher {
    let specifier = match text {
        Text::Present => QueryParameterMatchSpecifier::PresentMatch(true),
        text => QueryParameterMatchSpecifier::StringMatch(string_matcher(text, false)),
    };
    QueryParameterMatcher { name: name.to_owned(), query_parameter_match_specifier: Some(specifier) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_match_takes_everything() {
        assert!(takes_everything(&route_match(&HttpMatch::default())));
        let jason = HttpMatch {
            headers: vec![("end-user".into(), Text::Exact("jason".into()))],
            ..Default::default()
        };
        assert!(!takes_everything(&route_match(&jason)));
        let path = HttpMatch { uri: Some(Text::Prefix("/a".into())), ..Default::default() };
        assert!(!takes_everything(&route_match(&path)));
    }

    #[test]
    fn an_absent_header_has_no_value() {
        let m = without("x", &Text::Exact("1".into()));
        assert!(m.invert_match && m.treat_missing_header_as_empty);
        assert!(!without("x", &Text::Present).treat_missing_header_as_empty);
    }
}
