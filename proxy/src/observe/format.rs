//! Access log and header formats with `%COMMAND%` operators, parsed once.
//!
//! In: the text of a format, as Envoy and Istio write it. Out: a [`TextFormat`], or the name of the operator that
//! is unknown. `compile` parses, `access_log` and header operations render. Values come from `operator`.

use std::sync::Arc;

use super::operator::{Operator, Value};
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
    /// Keys in order, each with its format.
    Json(Vec<(Arc<str>, TextFormat)>),
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

    /// The value for JSON: a lone operator keeps its type, everything else is text.
    pub fn json(&self, subject: &Subject<'_>) -> Value {
        match self.pieces.as_slice() {
            [Piece::Operator(operator, None)] => operator.value(subject),
            [Piece::Operator(operator, Some(limit))] => match operator.value(subject) {
                Value::Text(mut text) => {
                    cut(&mut text, *limit);
                    Value::Text(text)
                }
                other => other,
            },
            _ => {
                let mut text = String::new();
                self.render(subject, &mut text);
                Value::Text(text)
            }
        }
    }
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
