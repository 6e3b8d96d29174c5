//! Patterns with `*`, as people write them on command lines.

/// Whether a pattern with `*` is the whole text.
pub fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => match text.strip_prefix(head) {
            Some(after) => {
                let mut tails = after.char_indices().map(|(at, _)| at).chain([after.len()]);
                tails.any(|at| after.get(at..).is_some_and(|tail| glob(rest, tail)))
            }
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn stars() {
        assert!(glob("*", "") && glob("a*c", "abc") && glob("*b*", "abc") && glob("abc", "abc"));
        assert!(!glob("a", "abc") && !glob("a*d", "abc") && !glob("", "a"));
    }
}
