//! Matchers of text: strings, headers, query parameters, regular expressions. Compiled here, once.
//!
//! In: Envoy's matchers. Out: `config::text`. An expression that does not compile, or is too large, is refused here
//! and never met by a request.

use http::HeaderName;
use regex::bytes::Regex;
use wire::pb::envoy::config::route::v3 as route;
use wire::pb::envoy::r#type::matcher::v3 as matcher;

use super::read::{At, Lower, Refusal, done, refuse, text};
use crate::config::{HeaderMatch, HeaderRule, Pseudo, QueryMatch, TextMatch};

/// Largest compiled expression, bytes.
const REGEX_LIMIT: usize = 4 << 20;

/// An RE2 expression that must match all of the text.
pub(super) fn regex(matcher: &matcher::RegexMatcher) -> Lower<Regex> {
    full_match(&matcher.regex).at("regex")
}

fn full_match(pattern: &str) -> Lower<Regex> {
    let built = regex::bytes::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(REGEX_LIMIT).build();
    built.map_err(|error| bad_pattern(pattern, &error))
}

/// The parser explains itself over several lines, the last of which says it.
fn bad_pattern(pattern: &str, error: &regex::Error) -> Refusal {
    let text = error.to_string();
    let reason = text.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Refusal::new(format!("{pattern:?} does not compile: {reason}"))
}

/// Pattern and substitution of a rewrite, in Rust's syntax.
pub(super) fn substitution(value: matcher::RegexMatchAndSubstitute) -> Lower<(regex::Regex, String)> {
    let pattern = value.pattern.map(|pattern| pattern.regex).unwrap_or_default();
    let built = regex::RegexBuilder::new(&pattern).size_limit(REGEX_LIMIT).build();
    let regex = built.map_err(|error| bad_pattern(&pattern, &error)).at("pattern.regex")?;
    let with = references(&value.substitution).at("substitution")?;
    let groups = regex.captures_len();
    if let Some(high) = highest_reference(&value.substitution).filter(|high| *high >= groups) {
        return refuse("substitution", format!("refers to group {high}, the pattern has {}", groups - 1));
    }
    Ok((regex, with))
}

fn highest_reference(substitution: &str) -> Option<usize> {
    let mut chars = substitution.chars();
    let mut highest = None;
    while let Some(c) = chars.next() {
        if c == '\\' {
            highest = highest.max(chars.next().and_then(|c| c.to_digit(10)).map(|digit| digit as usize));
        }
    }
    highest
}

/// RE2's `\1` becomes `${1}`; `$` becomes `$$`.
fn references(substitution: &str) -> Lower<String> {
    let mut out = String::new();
    let mut chars = substitution.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some('\\') => out.push('\\'),
                Some(digit) if digit.is_ascii_digit() => out += &format!("${{{digit}}}"),
                _ => {
                    return Err(Refusal::new(format!(
                        "{substitution:?}: a backslash needs a digit or a backslash"
                    )));
                }
            },
            c => out.push(c),
        }
    }
    Ok(out)
}

/// A string condition.
pub(super) fn string(value: matcher::StringMatcher) -> Lower<TextMatch> {
    use matcher::string_matcher::MatchPattern as P;
    let ignore_case = value.ignore_case;
    Ok(match value.match_pattern {
        Some(P::Exact(exact)) => TextMatch::Exact { text: text(exact), ignore_case },
        Some(P::Prefix(prefix)) => TextMatch::Prefix { text: text(prefix), ignore_case },
        Some(P::Suffix(suffix)) => TextMatch::Suffix { text: text(suffix), ignore_case },
        Some(P::Contains(part)) => TextMatch::Contains { text: text(part), ignore_case },
        // `ignore_case` has no effect on expressions, as in Envoy.
        Some(P::SafeRegex(expression)) => TextMatch::Regex(regex(&expression).at("safe_regex")?),
        Some(P::Custom(custom)) => {
            return refuse("custom", format!("matcher {} is not supported", custom.name));
        }
        None => return Err(Refusal::new("no pattern")),
    })
}

/// All header conditions of a list.
pub(super) fn headers(list: Vec<route::HeaderMatcher>, field: &str) -> Lower<Vec<HeaderMatch>> {
    list.into_iter().enumerate().map(|(index, one)| header(one).item(field, index)).collect()
}

/// One header condition.
pub(super) fn header(mut value: route::HeaderMatcher) -> Lower<HeaderMatch> {
    use route::header_matcher::HeaderMatchSpecifier as H;
    let plain =
        |kind: fn(std::sync::Arc<str>) -> TextMatch, value: String| HeaderRule::Text(kind(text(value)));
    let rule = match value.header_match_specifier.take() {
        None => HeaderRule::Present(true),
        Some(H::PresentMatch(present)) => HeaderRule::Present(present),
        Some(H::ExactMatch(exact)) => plain(|text| TextMatch::Exact { text, ignore_case: false }, exact),
        Some(H::PrefixMatch(prefix)) => plain(|text| TextMatch::Prefix { text, ignore_case: false }, prefix),
        Some(H::SuffixMatch(suffix)) => plain(|text| TextMatch::Suffix { text, ignore_case: false }, suffix),
        Some(H::ContainsMatch(part)) => plain(|text| TextMatch::Contains { text, ignore_case: false }, part),
        Some(H::SafeRegexMatch(expression)) => {
            HeaderRule::Text(TextMatch::Regex(regex(&expression).at("safe_regex_match")?))
        }
        Some(H::RangeMatch(range)) => HeaderRule::Range { start: range.start, end: range.end },
        Some(H::StringMatch(matcher)) => HeaderRule::Text(string(matcher).at("string_match")?),
    };
    let name = std::mem::take(&mut value.name);
    let pseudo = match name.as_str() {
        ":method" => Some(Pseudo::Method),
        ":authority" => Some(Pseudo::Authority),
        ":path" => Some(Pseudo::Path),
        ":scheme" => Some(Pseudo::Scheme),
        _ => None,
    };
    let name = match pseudo {
        Some(_) => http::header::HOST,
        None => header_name(&name).at("name")?,
    };
    let matched = HeaderMatch {
        name,
        pseudo,
        rule,
        invert: std::mem::take(&mut value.invert_match),
        missing_is_empty: std::mem::take(&mut value.treat_missing_header_as_empty),
    };
    done(&value)?;
    Ok(matched)
}

/// A header name, any case.
pub(super) fn header_name(name: &str) -> Lower<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refusal::new(format!("{name:?} is no header name")))
}

/// All query conditions of a list.
pub(super) fn queries(list: Vec<route::QueryParameterMatcher>) -> Lower<Vec<QueryMatch>> {
    use route::query_parameter_matcher::QueryParameterMatchSpecifier as Q;
    let one = |value: route::QueryParameterMatcher| {
        let rule = match value.query_parameter_match_specifier {
            None | Some(Q::PresentMatch(true)) => None,
            Some(Q::PresentMatch(false)) => return refuse("present_match", "absence cannot be matched"),
            Some(Q::StringMatch(matcher)) => Some(string(matcher).at("string_match")?),
        };
        Ok(QueryMatch { name: text(value.name), rule })
    };
    list.into_iter().enumerate().map(|(index, value)| one(value).item("query_parameters", index)).collect()
}

/// `content-type` of gRPC.
pub(super) fn grpc_condition() -> Lower<HeaderMatch> {
    Ok(HeaderMatch {
        name: http::header::CONTENT_TYPE,
        pseudo: None,
        rule: HeaderRule::Text(TextMatch::Regex(full_match("application/grpc(\\+.*)?")?)),
        invert: false,
        missing_is_empty: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_re2() {
        let rewrite = |pattern: &str, with: &str| {
            substitution(matcher::RegexMatchAndSubstitute {
                pattern: Some(matcher::RegexMatcher { regex: pattern.into(), ..Default::default() }),
                substitution: with.into(),
            })
        };
        let (regex, with) = rewrite("^/v([0-9])/(.*)$", "/\\2/$\\1\\\\").expect("valid");
        assert_eq!(regex.replace_all("/v1/x", with.as_str()), "/x/$1\\");
        assert_eq!(rewrite("(a)", "\\2").unwrap_err().path, "substitution");
        assert_eq!(rewrite("(a", "").unwrap_err().path, "pattern.regex");
        assert!(rewrite("a", "x\\").is_err());
    }

    #[test]
    fn expressions_match_all_of_the_text() {
        let regex =
            regex(&matcher::RegexMatcher { regex: "a|bc".into(), ..Default::default() }).expect("valid");
        assert!(regex.is_match(b"bc") && !regex.is_match(b"abc") && !regex.is_match(b"bcd"));
    }
}
