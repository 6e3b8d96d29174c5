//! Label selectors as written on a command line: `app=reviews,version!=v1,tier in (a,b),!canary`.
//!
//! In: the text of `-l`. Out: whether an object's labels match. What is not understood is refused.

use anyhow::{Result, bail};
use serde_json::Value;

/// What every label must be.
#[derive(Debug)]
pub(super) struct Selector(Vec<Term>);

#[derive(Debug, PartialEq, Eq)]
struct Term {
    key: String,
    /// One of these; empty: any.
    values: Vec<String>,
    /// False: the opposite. A label that is not there is not one of the values, either.
    holds: bool,
}

impl Selector {
    pub(super) fn parse(text: Option<&str>) -> Result<Self> {
        let terms = split(text.unwrap_or_default());
        Ok(Self(terms.into_iter().map(|part| term(part.trim())).collect::<Result<_>>()?))
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|term| {
            let own = object["metadata"]["labels"].get(&term.key).and_then(Value::as_str);
            let is =
                own.is_some_and(|own| term.values.is_empty() || term.values.iter().any(|one| one == own));
            is == term.holds
        })
    }
}

/// At the commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut inside = false;
    let at_comma = |letter: char| {
        inside = match letter {
            '(' => true,
            ')' => false,
            _ => inside,
        };
        letter == ',' && !inside
    };
    text.split(at_comma).filter(|part| !part.trim().is_empty()).collect()
}

fn term(text: &str) -> Result<Term> {
    let make = |key: &str, values: Vec<String>, holds: bool| {
        let key = key.trim();
        if key.is_empty() || key.contains([' ', '(', ')', '!', '=']) {
            bail!(
                "selector {text:?}: write key=value, key!=value, key, !key, key in (a,b) or key notin (a,b)"
            );
        }
        Ok(Term { key: key.to_owned(), values, holds })
    };
    if let Some((key, value)) = text.split_once("!=") {
        return make(key, vec![value.trim().to_owned()], false);
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return make(key, vec![value.trim().to_owned()], true);
    }
    if let Some((head, list)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let values = list.split(',').map(|value| value.trim().to_owned()).collect();
        return match head.trim().rsplit_once(' ') {
            Some((key, "in")) => make(key, values, true),
            Some((key, "notin")) => make(key, values, false),
            _ => make("", values, true),
        };
    }
    match text.strip_prefix('!') {
        Some(key) => make(key, Vec::new(), false),
        None => make(text, Vec::new(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_forms_of_kubectl() {
        let object = json!({"metadata": {"labels": {"app": "reviews", "version": "v1"}}});
        let none = json!({"metadata": {}});
        for (text, matches, bare) in [
            ("app=reviews", true, false),
            ("app==reviews,version=v2", false, false),
            ("version!=v2", true, true),
            ("version", true, false),
            ("!version", false, true),
            ("app in (ratings, reviews),version in (v1)", true, false),
            ("app notin (ratings,reviews)", false, true),
            ("", true, true),
        ] {
            let selector = Selector::parse(Some(text)).unwrap();
            assert_eq!((selector.matches(&object), selector.matches(&none)), (matches, bare), "{text}");
        }
        for text in ["app of (a)", "(a)", "=x", "a b"] {
            assert!(Selector::parse(Some(text)).unwrap_err().to_string().contains("notin"), "{text}");
        }
    }
}
