//! Values to text, in the form that kubectl prints: block style, keys as they stand, strings quoted where a YAML 1.1
//! reader would take them for something else.
//!
//! Used by `meshctl get -o yaml` and by goldens. What is printed reads back to the same value.

use std::fmt::Write;

use serde_json::Value;

use crate::yaml;

/// One document.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut out, value, 0),
        Value::Array(items) if !items.is_empty() => block(&mut out, value, 0),
        value => {
            scalar(&mut out, value, 0);
            out.push('\n');
        }
    }
    out
}

/// A non-empty mapping or list, one entry per line.
fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) => {
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    pad(out, indent);
                }
                string(out, key, None);
                out.push(':');
                entry(out, value, indent);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    pad(out, indent);
                }
                out.push_str("- ");
                if is_block(item) {
                    block(out, item, indent + 2);
                } else {
                    scalar(out, item, indent + 2);
                    out.push('\n');
                }
            }
        }
        _ => {}
    }
}

/// What follows `key:`. Lists stand at the column of their key, as kubectl prints them.
fn entry(out: &mut String, value: &Value, indent: usize) {
    if !is_block(value) {
        out.push(' ');
        scalar(out, value, indent + 2);
        out.push('\n');
        return;
    }
    let inner = if value.is_array() { indent } else { indent + 2 };
    out.push('\n');
    pad(out, inner);
    block(out, value, inner);
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write!(out, "{number}").expect("a string takes all"),
        Value::String(text) => string(out, text, Some(indent)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// A string: plain where that is safe, a block where it has lines and a block is allowed, else quoted.
fn string(out: &mut String, text: &str, block_indent: Option<usize>) {
    if is_plain(text) {
        return out.push_str(text);
    }
    match block_indent {
        Some(indent) if is_literal(text) => {
            out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
            for line in text.trim_end_matches('\n').split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    pad(out, indent);
                    out.push_str(line);
                }
            }
        }
        _ if text.contains(|c: char| c.is_control()) => quote(out, text),
        _ => {
            out.push('"');
            out.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
            out.push('"');
        }
    }
}

/// Whether a string with lines can be a block as it is.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.ends_with("\n\n")
        && !text.contains(|c: char| c.is_control() && c != '\n')
        && text.trim_end_matches('\n').split('\n').all(|line| !line.ends_with(' '))
}

/// JSON's string form is also YAML's.
fn quote(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("a string is JSON"));
}

/// Whether a YAML 1.1 reader takes the bare text for this very string.
fn is_plain(text: &str) -> bool {
    let special = |c: char| c.is_control() || "{}[],#&*!|>'\"%@`\\".contains(c);
    let indicator = text.starts_with(['-', '?', ':', '=', '<', ' ', '~', '.', '+'])
        || text.starts_with(|c: char| c.is_ascii_digit());
    if text.is_empty()
        || text.starts_with(' ')
        || text.contains(special)
        || text.contains(": ")
        || text.contains(" #")
        || text.ends_with([':', ' '])
    {
        return false;
    }
    // `y` and `n` are words for other readers; digits with colons are base 60 for them.
    let other_readers = matches!(text, "y" | "Y" | "n" | "N" | "<<" | "=");
    let base_60 =
        text.contains(':') && text.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.' | '-' | '+'));
    let date = indicator && text.len() >= 8 && text.chars().filter(|c| *c == '-').count() == 2;
    let starts_badly = text.starts_with(['-', '?', ':', ' ', '='])
        && !text[1..].starts_with(|c: char| c.is_ascii_alphanumeric());
    if other_readers || base_60 || date || starts_badly || text.starts_with("---") || text.starts_with("...")
    {
        return false;
    }
    yaml::plain(text) == Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_kubectl_prints() {
        let value = json!({
            "apiVersion": "v1", "metadata": {"labels": {}, "name": "a"},
            "spec": {"ports": [{"name": "http", "port": 80}, {"list": [[1, 2], []]}], "text": "a\nb\n", "yes": "yes"},
        });
        assert_eq!(
            to_yaml(&value),
            "apiVersion: v1\nmetadata:\n  labels: {}\n  name: a\nspec:\n  ports:\n  - name: http\n    port: 80\n  - list:\n    \
             - - 1\n      - 2\n    - []\n  text: |\n    a\n    b\n  \"yes\": \"yes\"\n"
        );
    }

    #[test]
    fn what_is_printed_reads_back() {
        let texts = [
            "",
            "a",
            "yes",
            "0644",
            "1.0",
            "null",
            "~",
            "a: b",
            "a #b",
            "#",
            "- a",
            "-",
            "-a",
            "*",
            "x\ny",
            " x",
            "x ",
            "\"q\"",
            "'q'",
            "\t",
            "a\\b",
            "true",
            "12:30:45",
            "2020-01-01",
            "1_000",
            "0x1f",
            "y",
            "@a",
            "%a",
            "a\n\nb\n",
            "a\n\n",
            "\na",
            "[",
            "{a}",
            "é",
            "a:b",
            "http://x:80/y?z=1",
            "k8s.io/x",
            "?",
            "!x",
            "&x",
            ".5",
            "1e3",
            "x\u{7}",
            "---",
            "... a",
            "a \nb",
            "=",
            "<<",
            ":80",
        ];
        let keys: serde_json::Map<_, _> =
            texts.iter().map(|text| ((*text).to_owned(), json!(text))).collect();
        let value = json!({"list": texts.as_slice(), "map": keys, "n": [1, -2.5, null, true, {}, []]});
        let text = to_yaml(&value);
        let read = yaml::load(&text, 1).unwrap_or_else(|e| panic!("{}: {e}\n{text}", e.line)).remove(0);
        assert_eq!(read.value, value, "{text}");
    }
}
