//! Paths in one spelling: unreserved characters unescaped, dot segments resolved, slashes merged, as the chain asks.
//! Policies and routes then see what the application will see. Follows Envoy's `normalize_path` (RFC 3986). Pure.

use std::borrow::Cow;

/// The path, with its query untouched, in its normal form; `None`: it has none and is refused.
pub(crate) fn normal<'a>(target: &'a str, dots: bool, merge: bool) -> Option<Cow<'a, str>> {
    if target.contains('#') {
        return None;
    }
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let unusual = dots && is_unusual(path);
    let doubled = merge && path.contains("//");
    if !(unusual || doubled) || !path.starts_with('/') {
        return Some(Cow::Borrowed(target));
    }
    let mut path = Cow::Borrowed(path);
    if unusual {
        path = Cow::Owned(resolve(&spelled(&path)?));
    }
    if doubled {
        path = Cow::Owned(merged(&path));
    }
    Some(Cow::Owned(path.into_owned() + query))
}

/// Quick and never wrong in the negative.
fn is_unusual(path: &str) -> bool {
    path.contains("/.") || path.bytes().any(|b| b == b'%' || b == b'\\' || is_escaped(b))
}

/// Characters that a path may hold in no other form than escaped.
fn is_escaped(byte: u8) -> bool {
    !byte.is_ascii_graphic() || b"\"<>^`{|}".contains(&byte)
}

/// Unreserved characters as they are, what needs it escaped, slashes for backslashes. `None`: a NUL.
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
            (Some(0), _) => return None,
            (Some(code), _) if code.is_ascii_alphanumeric() || b"-._~".contains(&code) => {
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

/// Takes away `.` and `..`; there is nothing above the root.
fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
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

    #[test]
    fn normal_forms() {
        for (given, wanted) in [
            ("/a/b?x=/../", Some("/a/b?x=/../")),
            ("/a/./b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/b/..", Some("/a/")),
            ("/a/b/.", Some("/a/b/")),
            ("/a/%2e%2E/b?c", Some("/b?c")),
            ("/a\\..\\b", Some("/b")),
            ("/..", Some("/")),
            ("/../etc", Some("/etc")),
            ("/a/../../..", Some("/")),
            ("/a%2Fb/%7Euser/%41%zz%", Some("/a%2Fb/~user/A%zz%")),
            ("/%252e%252e/a", Some("/%252e%252e/a")),
            ("/a<b>", Some("/a%3Cb%3E")),
            ("/%00", None),
            ("/a//b", Some("/a/b")),
            ("/a/.../b", Some("/a/.../b")),
            ("/.hidden", Some("/.hidden")),
            ("/a#frag", None),
            ("*", Some("*")),
            ("", Some("")),
        ] {
            assert_eq!(normal(given, true, true).as_deref(), wanted, "{given}");
        }
        assert_eq!(normal("/a//../b", false, false).as_deref(), Some("/a//../b"));
    }
}
