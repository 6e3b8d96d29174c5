//! Access log and header formats with `%COMMAND%` operators, parsed once.
//!
//! In: the text of a format, as Envoy and Istio write it. Out: a [`TextFormat`], or the name of the operator that
//! is unknown. `compile` parses, `access_log` and header operations render. Values come from `operator`.

use std::sync::Arc;

use super::operator::{Operator, decimal};
use super::subject::Subject;

/// A text with operators, parsed: literals and commands in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TextFormat {
    /// As it was written.
    pub source: Arc<str>,
    pieces: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    /// With `:N`, the longest value in bytes.
    Operator(Operator, Option<usize>),
}

/// Shape of an access log line.
#[derive(Debug)]
pub enum LogFormat {
    Text(TextFormat),
    Json(JsonFormat),
}

/// An object with a value per format, on one line.
#[derive(Debug)]
pub struct JsonFormat {
    /// What stands before a value, as JSON (`{"key":`, `,"key":`), and its format.
    fields: Vec<(Box<str>, TextFormat)>,
}

impl JsonFormat {
    /// Keys in order, each with its format.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, TextFormat)>) -> Self {
        let name = |(at, (key, format)): (usize, (&str, _))| {
            let before = if at == 0 { '{' } else { ',' };
            (format!("{before}{}:", serde_json::Value::from(key)).into(), format)
        };
        JsonFormat { fields: fields.into_iter().enumerate().map(name).collect() }
    }

    /// Appends the object.
    pub(super) fn render(&self, subject: &Subject<'_>, out: &mut String) {
        if self.fields.is_empty() {
            out.push('{');
        }
        for (before, format) in &self.fields {
            out.push_str(before);
            format.json(subject, out);
        }
        out.push('}');
    }
}

impl TextFormat {
    /// Parses; an unknown operator or an unfinished `%` is an error in words.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some(at) = rest.find('%') {
            let (before, after) = rest.split_at(at);
            literal.push_str(before);
            let after = after.get(1..).unwrap_or_default();
            if let Some(tail) = after.strip_prefix('%') {
                literal.push('%');
                rest = tail;
                continue;
            }
            let (command, tail) = split_command(after)
                .ok_or_else(|| format!("format {source:?}: the operator at \"%{after}\" has no closing %"))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            let (command, limit) = split_limit(command);
            let operator =
                Operator::parse(command).map_err(|e| format!("format operator %{command}%: {e}"))?;
            pieces.push(Piece::Operator(operator, limit));
            rest = tail;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Ok(TextFormat { source: source.into(), pieces })
    }

    /// Appends the text; a missing value is `-`, as in access logs.
    pub fn render(&self, subject: &Subject<'_>, out: &mut String) {
        self.write(subject, "-", out);
    }

    /// The text for a header: a missing value is empty. An empty result means that the header is not added.
    pub fn header(&self, subject: &Subject<'_>) -> String {
        let mut out = String::new();
        self.write(subject, "", &mut out);
        out
    }

    fn write(&self, subject: &Subject<'_>, missing: &str, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Operator(operator, limit) => {
                    let start = out.len();
                    if !operator.write(subject, out) {
                        out.push_str(missing);
                    }
                    if let Some(limit) = limit {
                        cut(out, start + limit);
                    }
                }
            }
        }
    }

    /// Appends the value as JSON: a lone operator keeps its type, everything else is text.
    fn json(&self, subject: &Subject<'_>, out: &mut String) {
        let start = out.len();
        let [Piece::Operator(operator, limit)] = self.pieces.as_slice() else {
            out.push('"');
            self.render(subject, out);
            return close_text(out, start + 1);
        };
        match operator.number(subject) {
            Some(Some(number)) => return decimal(number, out),
            Some(None) => return out.push_str("null"),
            None => out.push('"'),
        }
        if !operator.write(subject, out) {
            out.truncate(start);
            return out.push_str("null");
        }
        if let Some(limit) = limit {
            cut(out, start + 1 + limit);
        }
        match operator.is_plain() {
            true => out.push('"'),
            false => close_text(out, start + 1),
        }
    }
}

/// Ends a JSON text whose inside begins at `start`, written as it is: what JSON wants escaped is rare.
fn close_text(out: &mut String, start: usize) {
    let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    if out.as_bytes().get(start..).unwrap_or_default().iter().any(special) {
        let text = serde_json::Value::from(out.split_off(start)).to_string();
        out.push_str(text.get(1..text.len() - 1).unwrap_or_default());
    }
    out.push('"');
}

/// Splits at the `%` that closes an operator; a `%` inside parentheses (a time format) does not.
fn split_command(after: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    for (at, byte) in after.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'%' if depth == 0 => return Some((after.get(..at)?, after.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// Splits `:N` off the end of `NAME(...)`.
fn split_limit(command: &str) -> (&str, Option<usize>) {
    match command.rsplit_once("):") {
        Some((head, digits)) => match digits.parse() {
            Ok(limit) => (command.get(..=head.len()).unwrap_or(command), Some(limit)),
            Err(_) => (command, None),
        },
        None => (command, None),
    }
}

fn cut(text: &mut String, at: usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    text.truncate(at);
}
