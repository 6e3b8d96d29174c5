//! Paths in one spelling: slashes unescaped, unreserved characters unescaped, dot segments resolved, slashes merged, as
//! the chain asks and in this order. It is done once, before anything looks at the path, so that policies and routes
//! see what the application will see. Follows Envoy's `path_with_escaped_slashes_action`, `normalize_path` (RFC 3986)
//! and `merge_slashes`. Pure.

use std::borrow::Cow;

use crate::config::{EscapedSlashes, PathRules};

/// What becomes of a request by its path.
#[derive(Debug, PartialEq, Eq)]
pub enum Spelling<'a> {
    /// The path in its normal form, with its query untouched.
    Normal(Cow<'a, str>),
    /// The client is sent to the normal form.
    Elsewhere(String),
    /// It has no normal form, or one that the chain does not want.
    Refused,
}

/// The normal form of a path with its query.
pub fn normal(target: &str, rules: PathRules) -> Spelling<'_> {
    if target.contains('#') {
        return Spelling::Refused;
    }
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let escaped = rules.escaped_slashes != EscapedSlashes::Keep && find_escaped(path).is_some();
    if escaped && rules.escaped_slashes == EscapedSlashes::Reject {
        return Spelling::Refused;
    }
    let unusual = rules.normalize && is_unusual(path);
    let doubled = rules.merge_slashes && (escaped || unusual || path.contains("//"));
    if !(escaped || unusual || doubled) || !path.starts_with('/') {
        return Spelling::Normal(Cow::Borrowed(target));
    }
    let mut path = Cow::Borrowed(path);
    if escaped {
        path = Cow::Owned(unescaped(&path));
    }
    if unusual {
        let Some(plain) = spelled(&path) else { return Spelling::Refused };
        path = Cow::Owned(resolve(&plain));
    }
    // Backslashes became slashes: look again.
    if rules.merge_slashes && path.contains("//") {
        path = Cow::Owned(merged(&path));
    }
    let whole = path.into_owned() + query;
    match escaped && rules.escaped_slashes == EscapedSlashes::Redirect {
        true => Spelling::Elsewhere(whole),
        false => Spelling::Normal(Cow::Owned(whole)),
    }
}

/// Where the next escaped slash is, and which one.
fn find_escaped(path: &str) -> Option<(usize, char)> {
    let at = |code: &[u8]| match code {
        [b'%', b'2', b'f' | b'F'] => Some('/'),
        [b'%', b'5', b'c' | b'C'] => Some('\\'),
        _ => None,
    };
    path.as_bytes().windows(3).enumerate().find_map(|(start, code)| Some((start, at(code)?)))
}

/// Slashes and backslashes as they are.
fn unescaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((start, slash)) = find_escaped(rest) {
        let (before, after) = rest.split_at(start);
        out.push_str(before);
        out.push(slash);
        rest = after.get(3..).unwrap_or_default();
    }
    out + rest
}

/// Quick and never wrong in the negative.
fn is_unusual(path: &str) -> bool {
    path.contains("/.") || path.bytes().any(|b| b == b'%' || b == b'\\' || is_escaped(b))
}

/// Characters that a path may hold in no other form than escaped.
fn is_escaped(byte: u8) -> bool {
    !byte.is_ascii_graphic() || b"\"<>^`{|}".contains(&byte)
}

/// Means the same escaped or not.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Ends in the beginning of an escape, which one more digit would complete: `%` or `%2`.
fn is_open(path: &str) -> bool {
    matches!(path.as_bytes(), [.., b'%'])
        || matches!(path.as_bytes(), [.., b'%', digit] if digit.is_ascii_hexdigit())
}

/// Unreserved characters as they are (but for those that would make an escape of what is none), what needs it escaped, slashes for backslashes. `None`: a NUL.
fn spelled(path: &str) -> Option<String> {
    use std::fmt::Write;
    let mut out = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let code = match (byte, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match (code, byte) {
            (Some(0), _) | (None, 0) => return None,
            (Some(code), _) if is_plain(code) && !(code.is_ascii_hexdigit() && is_open(&out)) => {
                out.push(char::from(code));
                rest = &tail[2..];
            }
            (None, b'\\') => out.push('/'),
            // Writing to a string cannot fail.
            (None, byte) if is_escaped(*byte) => drop(write!(out, "%{byte:02X}")),
            _ => out.push(char::from(*byte)),
        }
    }
    Some(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Takes away `.` and `..`, also with parameters behind them; there is nothing above the root.
fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        // Servlet containers take parameters off a segment before they look at its dots.
        match segment.split(';').next().unwrap_or_default() {
            "." => {}
            ".." => drop(kept.pop()),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    kept.iter().fold(String::with_capacity(path.len()), |out, segment| out + "/" + segment)
}

fn merged(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !out.ends_with('/') {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: PathRules =
        PathRules { normalize: true, merge_slashes: true, escaped_slashes: EscapedSlashes::Keep };
    const NONE: PathRules = PathRules { normalize: false, merge_slashes: false, ..ALL };

    /// A path, or what else is done.
    fn told(target: &str, rules: PathRules) -> String {
        match normal(target, rules) {
            Spelling::Normal(path) => path.into_owned(),
            Spelling::Elsewhere(path) => format!("to {path}"),
            Spelling::Refused => "refused".into(),
        }
    }

    #[test]
    fn normal_forms() {
        for (given, wanted) in [
            ("/a/b?x=/../", "/a/b?x=/../"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/%2e%2E/b?c", "/b?c"),
            ("/a\\..\\b", "/b"),
            ("/..", "/"),
            ("/../etc", "/etc"),
            ("/a/../../..", "/"),
            ("/a%2Fb/%7Euser/%41%zz%", "/a%2Fb/~user/A%zz%"),
            ("/%2%65%2%65/%%41", "/%2%65%2%65/%%41"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/a<b>", "/a%3Cb%3E"),
            ("/%00", "refused"),
            ("/a//b", "/a/b"),
            ("/a\\\\b", "/a/b"),
            ("/a/.../b", "/a/.../b"),
            ("/a/..;/b", "/b"),
            ("/a/.;x=y/b", "/a/b"),
            ("/a/%2e%2e;/b", "/b"),
            ("/a/b/..;", "/a/"),
            ("/a/...;/b", "/a/...;/b"),
            ("/a..;/b;x/..c", "/a..;/b;x/..c"),
            ("/.hidden", "/.hidden"),
            ("/a#frag", "refused"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(told(given, ALL), wanted, "{given}");
        }
        assert_eq!(told("/a//../b", NONE), "/a//../b");
    }

    #[test]
    fn escaped_slashes() {
        let rules = |escaped_slashes| PathRules { escaped_slashes, ..ALL };
        use EscapedSlashes::{Forward, Keep, Redirect, Reject};
        for (given, action, wanted) in [
            ("/a%2Fb%5cc", Keep, "/a%2Fb%5cc"),
            ("/a%2Fb", Reject, "refused"),
            ("/a%5Cb", Reject, "refused"),
            ("/a/b?%2f", Reject, "/a/b?%2f"),
            ("/a%2Fb%5cc?%2f", Forward, "/a/b/c?%2f"),
            ("/a%2F%2E%2e%2fb", Forward, "/b"),
            ("/a%2f%2fb%2F", Forward, "/a/b/"),
            ("/a%252fb", Forward, "/a%252fb"),
            ("/a%2fb?c", Redirect, "to /a/b?c"),
            ("/a/../b", Redirect, "/b"),
        ] {
            assert_eq!(told(given, rules(action)), wanted, "{given} {action:?}");
        }
        let only = PathRules { escaped_slashes: Forward, ..NONE };
        assert_eq!(told("/a%2f..%5Cb", only), "/a/..\\b");
    }
}
