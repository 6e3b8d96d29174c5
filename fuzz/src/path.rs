//! Paths: the normal form of what a client asks for.
//!
//! Promises: a normal form is its own normal form; it begins with a slash where the path did; it has no dot segment, and
//! no two slashes where they are to be merged; the query stays as it is.

use proxy::config::{EscapedSlashes, PathRules};
use proxy::http::{Spelling, normal_path};

pub fn path(bytes: &[u8]) {
    let Some((&[options], text)) = bytes.split_first_chunk() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (dots, merge) = (options & 1 != 0, options & 2 != 0);
    let escaped_slashes = match options & 12 {
        0 => EscapedSlashes::Keep,
        4 => EscapedSlashes::Reject,
        8 => EscapedSlashes::Redirect,
        _ => EscapedSlashes::Forward,
    };
    let rules = PathRules { normalize: dots, merge_slashes: merge, escaped_slashes };
    let normal = match normal_path(text, rules) {
        Spelling::Normal(normal) => normal.into_owned(),
        Spelling::Elsewhere(normal) => normal,
        Spelling::Refused => return,
    };
    // What is unescaped once may look like an escape once more, as in Envoy.
    if escaped_slashes == EscapedSlashes::Keep {
        let again = normal_path(&normal, rules);
        assert_eq!(again, Spelling::Normal(normal.as_str().into()), "of {text:?}");
    }
    assert_eq!(normal.starts_with('/'), text.starts_with('/'), "{text:?} became {normal:?}");
    let split = |text: &str| text.split_once('?').map(|(path, query)| (path.to_owned(), query.to_owned()));
    assert_eq!(split(&normal).map(|parts| parts.1), split(text).map(|parts| parts.1), "of {text:?}");
    let path = normal.split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        return;
    }
    if dots {
        let segment = |one: &str| {
            let plain = one.replace("%2e", ".").replace("%2E", ".");
            plain == "." || plain == ".."
        };
        assert!(!path.split('/').any(segment), "{text:?} became {normal:?}");
        assert!(!path.contains('\\'), "{text:?} became {normal:?}");
    }
    if merge {
        assert!(!path.contains("//"), "{text:?} became {normal:?}");
    }
}
