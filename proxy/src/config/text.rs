//! Compiled matchers of text: strings, headers, query parameters. Compiled once in `lower`, never per request.
//!
//! Made by `compile::text`, read by `router`, `filter` and `tls`.

use std::sync::Arc;

/// How one string is matched (`StringMatcher`).
#[derive(Clone, Debug)]
pub enum TextMatch {
    Exact {
        text: Arc<str>,
        ignore_case: bool,
    },
    Prefix {
        text: Arc<str>,
        ignore_case: bool,
    },
    Suffix {
        text: Arc<str>,
        ignore_case: bool,
    },
    Contains {
        text: Arc<str>,
        ignore_case: bool,
    },
    /// Full match, as RE2 `FullMatch`.
    Regex(regex::bytes::Regex),
}

/// One header condition (`HeaderMatcher`), pseudo headers (`:method`, `:authority`, `:path`, `:scheme`) included.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    pub name: http::HeaderName,
    /// Set for pseudo headers; then `name` is meaningless.
    pub pseudo: Option<Pseudo>,
    pub rule: HeaderRule,
    /// `invert_match`
    pub invert: bool,
    /// `treat_missing_header_as_empty`
    pub missing_is_empty: bool,
}

/// Pseudo headers that matchers may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pseudo {
    Method,
    Authority,
    Path,
    Scheme,
}

/// What a header must be.
#[derive(Clone, Debug)]
pub enum HeaderRule {
    Present(bool),
    Text(TextMatch),
    Range { start: i64, end: i64 },
}

/// One query parameter condition (`QueryParameterMatcher`).
#[derive(Clone, Debug)]
pub struct QueryMatch {
    pub name: Arc<str>,
    /// `None`: present is enough.
    pub rule: Option<TextMatch>,
}

impl TextMatch {
    /// True when the whole text fulfils the condition.
    pub fn matches(&self, value: &[u8]) -> bool {
        fn same(value: &[u8], text: &str, ignore_case: bool) -> bool {
            if ignore_case { value.eq_ignore_ascii_case(text.as_bytes()) } else { value == text.as_bytes() }
        }
        match self {
            Self::Exact { text, ignore_case } => same(value, text, *ignore_case),
            Self::Prefix { text, ignore_case } => {
                value.get(..text.len()).is_some_and(|start| same(start, text, *ignore_case))
            }
            Self::Suffix { text, ignore_case } => {
                let start = value.len().checked_sub(text.len());
                start.and_then(|start| value.get(start..)).is_some_and(|end| same(end, text, *ignore_case))
            }
            Self::Contains { text, ignore_case } => {
                text.is_empty() || value.windows(text.len()).any(|part| same(part, text, *ignore_case))
            }
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

impl Pseudo {
    /// As it is written in a matcher.
    pub fn name(self) -> &'static str {
        match self {
            Self::Method => ":method",
            Self::Authority => ":authority",
            Self::Path => ":path",
            Self::Scheme => ":scheme",
        }
    }
}
