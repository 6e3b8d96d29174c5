//! Paths in one spelling: dot segments resolved, slashes merged, fragment cut, as the chain asks. Pure.
//! Policies and routes then see what the application will see. Follows Envoy's `normalize_path` (RFC 3986).

use std::borrow::Cow;

/// The path, with its query untouched, in its normal form; `None`: it leaves the root and is refused.
pub(crate) fn normal<'a>(target: &'a str, dots: bool, merge: bool) -> Option<Cow<'a, str>> {
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let dotted = dots && needs_dots(path);
    let doubled = merge && path.contains("//");
    if !(dotted || doubled) || !path.starts_with('/') {
        return Some(Cow::Borrowed(target));
    }
    let mut path = Cow::Borrowed(path);
    if dotted {
        path = Cow::Owned(resolve(&path)?);
    }
    if doubled {
        path = Cow::Owned(merged(&path));
    }
    Some(Cow::Owned(path.into_owned() + query))
}

/// Quick and never wrong in the negative.
fn needs_dots(path: &str) -> bool {
    path.contains("/.") || path.contains('\\') || path.contains("%2e") || path.contains("%2E")
}

/// Takes away `.` and `..`, also as `%2e`; a backslash is a slash.
fn resolve(path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match dots(segment) {
            Some(1) => {}
            Some(_) => {
                kept.pop()?;
            }
            None => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    Some(kept.iter().fold(String::with_capacity(path.len()), |out, segment| out + "/" + segment))
}

/// How many dots a segment consists of, if it is one or two and nothing else.
fn dots(segment: &str) -> Option<usize> {
    if segment.len() > 6 {
        return None;
    }
    match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
        "." => Some(1),
        ".." => Some(2),
        _ => None,
    }
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
            ("/..", None),
            ("/../etc", None),
            ("/a//b", Some("/a/b")),
            ("/a/.../b", Some("/a/.../b")),
            ("/.hidden", Some("/.hidden")),
            ("/a#frag", Some("/a")),
            ("*", Some("*")),
            ("", Some("")),
        ] {
            assert_eq!(normal(given, true, true).as_deref(), wanted, "{given}");
        }
        assert_eq!(normal("/a//../b", false, false).as_deref(), Some("/a//../b"));
    }
}
