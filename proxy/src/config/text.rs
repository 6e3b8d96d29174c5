//! Compiled matchers of text: strings, headers, query parameters. Compiled once in `lower`, never per request.

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
