//! kubectl's JSON path templates, in the forms that people use: `{.items[0].metadata.name}`, `{.items[*].x}`,
//! `{.items..metadata.name}`, `{.spec.ports[?(@.name=="http2")].port}`, quoted text, and `{range ...}{end}`.
//!
//! In: a template and a value. Out: text, or what is not understood. A path that leads nowhere gives nothing.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Fills a template in.
pub fn render(template: &str, value: &Value) -> Result<String> {
    let parts = split(template)?;
    let mut out = String::new();
    fill(&parts, value, &mut out)?;
    Ok(out)
}

enum Part<'a> {
    Text(&'a str),
    Code(&'a str),
}

fn split(template: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (text, code) = rest.split_at(open);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        let close = code.find('}').with_context(|| format!("jsonpath {template:?}: a {{ is not closed"))?;
        parts.push(Part::Code(code[1..close].trim()));
        rest = &code[close + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

fn fill(parts: &[Part<'_>], value: &Value, out: &mut String) -> Result<()> {
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        at += 1;
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Code(code) => {
                if let Some(quoted) = code.strip_prefix('"').and_then(|code| code.strip_suffix('"')) {
                    out.push_str(&quoted.replace("\\n", "\n").replace("\\t", "\t"));
                } else if let Some(path) = code.strip_prefix("range ") {
                    let length = body(&parts[at..])?;
                    for item in select(path.trim(), value)? {
                        fill(&parts[at..at + length], item, out)?;
                    }
                    at += length + 1;
                } else {
                    let found = select(code, value)?;
                    let words: Vec<String> = found.into_iter().map(word).collect();
                    out.push_str(&words.join(" "));
                }
            }
        }
    }
    Ok(())
}

/// How many parts stand before the `{end}` that belongs here.
fn body(parts: &[Part<'_>]) -> Result<usize> {
    let mut depth = 0;
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Code(code) if code.starts_with("range ") => depth += 1,
            Part::Code("end") if depth == 0 => return Ok(index),
            Part::Code("end") => depth -= 1,
            _ => {}
        }
    }
    bail!("jsonpath: {{range}} without {{end}}")
}

/// As kubectl prints one value.
#[must_use]
pub fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The values that a bare path (`.metadata.name`) leads to.
pub fn select<'a>(path: &str, value: &'a Value) -> Result<Vec<&'a Value>> {
    let mut found = vec![value];
    let mut rest = path.trim_start_matches(['$', '@']);
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let close = inner.find(']').with_context(|| format!("jsonpath {path:?}: a [ is not closed"))?;
            found = index(inner[..close].trim(), found).with_context(|| format!("jsonpath {path:?}"))?;
            rest = &inner[close + 1..];
        } else if let Some(below) = rest.strip_prefix("..") {
            // Whatever follows, at any depth.
            found = found.into_iter().flat_map(all_below).collect();
            rest = if below.starts_with('[') { below } else { &rest[1..] };
        } else if let Some(inner) = rest.strip_prefix('.') {
            // A backslash keeps a dot that belongs to the name (labels).
            let mut name = String::new();
            let mut length = 0;
            let mut letters = inner.chars();
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' => {
                        length += 1;
                        let Some(next) = letters.next() else { break };
                        name.push(next);
                        length += next.len_utf8();
                    }
                    '.' | '[' => break,
                    letter => {
                        name.push(letter);
                        length += letter.len_utf8();
                    }
                }
            }
            rest = &inner[length..];
            if name == "*" {
                found = found.into_iter().flat_map(children).collect();
            } else if !name.is_empty() {
                found = found.into_iter().filter_map(|value| value.get(&name)).collect();
            }
        } else {
            bail!("jsonpath {path:?}: {rest:?} is not understood");
        }
    }
    Ok(found)
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

/// A value and everything in it, parents first.
fn all_below(value: &Value) -> Vec<&Value> {
    let mut found = vec![value];
    found.extend(children(value).into_iter().flat_map(all_below));
    found
}

fn index<'a>(text: &str, found: Vec<&'a Value>) -> Result<Vec<&'a Value>> {
    if text == "*" {
        return Ok(found.into_iter().flat_map(children).collect());
    }
    let quoted = ['\'', '"'].into_iter().find_map(|q| text.strip_prefix(q)?.strip_suffix(q));
    if let Some(name) = quoted {
        let name = name.replace('\\', "");
        return Ok(found.into_iter().filter_map(|value| value.get(&name)).collect());
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        let (path, wanted, equal) = match (filter.split_once("=="), filter.split_once("!=")) {
            (Some((path, wanted)), _) => (path, wanted, true),
            (None, Some((path, wanted))) => (path, wanted, false),
            (None, None) => bail!("the filter {filter:?} is not understood; use == or !="),
        };
        let wanted = wanted.trim().trim_matches(['"', '\'']);
        let mut kept = Vec::new();
        for item in found.into_iter().flat_map(children) {
            let own = select(path.trim(), item)?;
            if own.first().is_some_and(|value| word(value) == wanted) == equal {
                kept.push(item);
            }
        }
        return Ok(kept);
    }
    let number: i64 = text.parse().with_context(|| format!("[{text}] is not understood"))?;
    let pick = |value: &'a Value| {
        let items = value.as_array()?;
        let length = i64::try_from(items.len()).ok()?;
        let at = if number < 0 { length + number } else { number };
        items.get(usize::try_from(at).ok()?)
    };
    Ok(found.into_iter().filter_map(pick).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_forms_that_people_use() {
        let value = json!({
            "items": [{"metadata": {"name": "a", "labels": {"x.y/z": "1"}}}, {"metadata": {"name": "b"}}],
            "spec": {"ports": [{"name": "http2", "port": 80}, {"name": "https", "port": 443}]},
        });
        let check = |template: &str, expected: &str| {
            assert_eq!(render(template, &value).unwrap(), expected, "{template}")
        };
        check("{.items[0].metadata.name}", "a");
        check("{.items[*].metadata.name}", "a b");
        check("{.items[-1].metadata.name}", "b");
        check(r#"{.spec.ports[?(@.name=="https")].port}"#, "443");
        check(r#"{range .items[*]}{.metadata.name}{"\n"}{end}"#, "a\nb\n");
        check(r"{.items[0].metadata.labels.x\.y/z}", "1");
        check("{.items..metadata.name}", "a b");
        check("{..port}", "80 443");
        check(r"{.items[0].metadata.labels['x\.y/z']}", "1");
        check("{.nothing}", "");
        assert!(render("{.items[", &value).is_err());
    }
}
