//! YAML (and with it JSON) text to values, with the line of every field.
//!
//! `parse` calls it per document. Scalars are read as kubectl reads them: YAML 1.1 words (`yes`, `off`) and octal
//! numbers (`0644`), decimal separators (`1_000`), merge keys (`<<`), aliases. The result is a `serde_json::Value`
//! and a tree of lines of the same shape. Expansion of aliases is bounded.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Number, Value};

use crate::path::{FieldPath, Step};

/// Nodes that one document may have after aliases are expanded.
const MAX_NODES: usize = 1_000_000;
/// Nesting that one document may have.
const MAX_DEPTH: usize = 200;

/// Lines of a value and of everything inside it, counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    pub line: u32,
    keys: Vec<(String, Lines)>,
    items: Vec<Lines>,
}

impl Lines {
    /// The line of the field, or of the nearest known field around it.
    pub fn at(&self, path: &FieldPath) -> u32 {
        let mut node = self;
        let mut line = self.line;
        for step in path.steps() {
            let next = match step {
                Step::Key(key) => node.child(key),
                Step::Index(index) => node.items.get(*index),
            };
            let Some(next) = next else { break };
            line = next.line;
            node = next;
        }
        line
    }

    /// Lines of the value under a key.
    pub fn child(&self, key: &str) -> Option<&Lines> {
        self.keys.iter().find(|(k, _)| k == key).map(|(_, lines)| lines)
    }

    /// Lines of the value at an index.
    pub fn item(&self, index: usize) -> Option<&Lines> {
        self.items.get(index)
    }
}

/// One document read.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub value: Value,
    pub lines: Lines,
    /// Keys that stand twice in one mapping, with the line of the second.
    pub duplicates: Vec<(FieldPath, u32)>,
}

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    pub line: u32,
    pub message: String,
}

/// Reads every document of `text`, whose first line is line `first` of its file. Empty documents are left out.
pub fn load(text: &str, first: u32) -> Result<Vec<Document>, YamlError> {
    let mut loader = Loader { first, ..Loader::default() };
    for event in Parser::new_from_str(text) {
        let read = event
            .map_err(|e| YamlError { line: first + line_of(e.marker().line()), message: hinted(e.info()) });
        match read.and_then(|(event, span)| loader.event(event, span)) {
            Ok(()) => {}
            Err(error) => return json(text, first).ok_or(error),
        }
    }
    Ok(loader.documents)
}

/// What the parser says, and what to do where its words do not tell.
fn hinted(message: &str) -> String {
    let hint = match message {
        text if text.starts_with("tabs disallowed") => "; indent with blanks",
        text if text.starts_with("mapping values are not allowed") => {
            "; look at the indentation of this line, and quote values that have a colon"
        }
        _ => "",
    };
    format!("{message}{hint}")
}

/// JSON that YAML does not take: several values in a row, tabs, surrogate pairs. Only whole values have lines.
fn json(text: &str, first: u32) -> Option<Vec<Document>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut documents = Vec::new();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        let before = &text[..values.byte_offset()];
        let blank = text[before.len()..].chars().take_while(|c| c.is_whitespace());
        let line = before.matches('\n').count() + blank.filter(|c| *c == '\n').count() + 1;
        let Some(value) = values.next() else { return Some(documents) };
        let lines = Lines { line: first + line_of(line), ..Lines::default() };
        documents.push(Document { value: value.ok()?, lines, duplicates: Vec::new() });
    }
}

fn line_of(line: usize) -> u32 {
    u32::try_from(line.saturating_sub(1)).unwrap_or(u32::MAX)
}

#[derive(Clone, Debug)]
struct Node {
    value: Value,
    lines: Lines,
}

/// The key whose value comes next.
enum Key {
    Name(String, u32),
    /// What follows is laid under the mapping.
    Merge,
}

/// A collection that is being read.
enum Open {
    Seq { node: Node, anchor: usize },
    Map { node: Node, anchor: usize, key: Option<Key>, merged: Vec<Node> },
}

#[derive(Default)]
struct Loader {
    first: u32,
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    documents: Vec<Document>,
    duplicates: Vec<(FieldPath, u32)>,
}

impl Loader {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = self.first + line_of(span.start.line());
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                self.nodes = 0;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let key = self.wants_key();
                let value = match (key, &*text, style) {
                    // The merge key; quoted it is a key like others.
                    (true, "<<", ScalarStyle::Plain) => Value::Null,
                    (true, ..) => Value::String(text.to_string()),
                    (false, ..) => scalar(&text, style, tag.as_deref()),
                };
                let node = Node { value, lines: Lines { line, ..Lines::default() } };
                self.finish(node, anchor, line)?;
            }
            Event::SequenceStart(anchor, _) => self.open(
                Open::Seq {
                    node: Node { value: Value::Array(Vec::new()), lines: Lines { line, ..Lines::default() } },
                    anchor,
                },
                line,
            )?,
            Event::MappingStart(anchor, _) => self.open(
                Open::Map {
                    node: Node {
                        value: Value::Object(Map::new()),
                        lines: Lines { line, ..Lines::default() },
                    },
                    anchor,
                    key: None,
                    merged: Vec::new(),
                },
                line,
            )?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.stack.pop() {
                    let (node, anchor) = close(open);
                    self.finish(node, anchor, line)?;
                }
            }
            Event::Alias(anchor) => {
                let Some((mut node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(YamlError { line, message: "an alias stands before its anchor".to_owned() });
                };
                self.nodes += size;
                node.lines.line = line;
                self.finish(node, 0, line)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, open: Open, line: u32) -> Result<(), YamlError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(YamlError { line, message: format!("nested deeper than {MAX_DEPTH} levels") });
        }
        if self.wants_key() {
            return Err(YamlError { line, message: "a mapping or list cannot be a key".to_owned() });
        }
        self.stack.push(open);
        Ok(())
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open::Map { key: None, .. }))
    }

    /// Puts a finished node into what is open around it.
    fn finish(&mut self, node: Node, anchor: usize, line: u32) -> Result<(), YamlError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(YamlError { line, message: format!("more than {MAX_NODES} values in one document") });
        }
        if anchor != 0 {
            let size = size(&node.value);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let duplicate = match self.stack.last_mut() {
            None => {
                let duplicates = std::mem::take(&mut self.duplicates);
                if !node.value.is_null() {
                    self.documents.push(Document { value: node.value, lines: node.lines, duplicates });
                }
                None
            }
            Some(Open::Seq { node: seq, .. }) => {
                seq.lines.items.push(node.lines);
                seq.value.as_array_mut().expect("a sequence holds an array").push(node.value);
                None
            }
            Some(Open::Map { node: map, key, merged, .. }) => match key.take() {
                None => {
                    *key = Some(match node.value {
                        Value::String(text) => Key::Name(text, node.lines.line),
                        Value::Null => Key::Merge,
                        _ => return Err(YamlError { line, message: "a key must be a word".to_owned() }),
                    });
                    None
                }
                Some(Key::Merge) => {
                    merge_sources(node, merged);
                    None
                }
                Some(Key::Name(name, key_line)) => insert(map, name, key_line, node),
            },
        };
        if let Some((name, key_line)) = duplicate {
            let path = self.path().key(name);
            self.duplicates.push((path, key_line));
        }
        Ok(())
    }

    /// Path of the innermost open collection.
    fn path(&self) -> FieldPath {
        let steps =
            self.stack.iter().take(self.stack.len().saturating_sub(1)).filter_map(|open| match open {
                Open::Seq { node, .. } => Some(Step::Index(node.lines.items.len())),
                Open::Map { key: Some(Key::Name(name, _)), .. } => Some(Step::Key(name.clone())),
                Open::Map { .. } => None,
            });
        FieldPath(steps.collect())
    }
}

/// Adds an entry; the second of two equal keys wins and is told.
fn insert(map: &mut Node, name: String, line: u32, mut node: Node) -> Option<(String, u32)> {
    node.lines.line = line;
    let object = map.value.as_object_mut().expect("a mapping holds an object");
    let duplicate = object.insert(name.clone(), node.value).is_some();
    if duplicate {
        map.lines.keys.retain(|(key, _)| *key != name);
    }
    map.lines.keys.push((name.clone(), node.lines));
    duplicate.then_some((name, line))
}

fn merge_sources(node: Node, merged: &mut Vec<Node>) {
    match node.value {
        Value::Array(values) => merged
            .extend(values.into_iter().zip(node.lines.items).map(|(value, lines)| Node { value, lines })),
        _ => merged.push(node),
    }
}

fn close(open: Open) -> (Node, usize) {
    match open {
        Open::Seq { node, anchor } => (node, anchor),
        Open::Map { mut node, anchor, merged, .. } => {
            for source in merged {
                let Value::Object(entries) = source.value else { continue };
                let object = node.value.as_object_mut().expect("a mapping holds an object");
                for (key, value) in entries {
                    if object.contains_key(&key) {
                        continue;
                    }
                    let lines = source.lines.child(&key).cloned().unwrap_or_default();
                    node.lines.keys.push((key.clone(), lines));
                    object.insert(key, value);
                }
            }
            (node, anchor)
        }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(entries) => 1 + entries.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// A plain scalar by its look, a quoted or tagged one as told.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let tagged_string = tag.is_some_and(|tag| tag.suffix == "str");
    if style != ScalarStyle::Plain || tagged_string {
        return Value::String(text.to_owned());
    }
    plain(text)
}

/// What a bare word means.
pub(crate) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    let plain = text.replace('_', "");
    integer(&plain).or_else(|| float(&plain))
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        i64::try_from(-i128::from(value)).ok().map(Number::from)
    } else {
        Some(Number::from(value))
    }
}

fn float(text: &str) -> Option<Number> {
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if !text.chars().all(allowed) || !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Number::from_f64(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Document {
        load(text, 1).unwrap().remove(0)
    }

    #[test]
    fn scalars_as_kubectl_reads_them() {
        let text = "a: yes\nb: 0644\nc: 'no'\nd: 1_000\ne: 1.5\nf: 0x1f\ng: ~\nh: 12:30:45\ni: 1e3\nj: -7\nk: 1.2.3\n\
                    l: 2020-01-01\nm: off\nn: 0o17\no: !!str 5\np: 089\nq: \"8080\"\nr: y\n";
        assert_eq!(
            one(text).value,
            json!({"a": true, "b": 420, "c": "no", "d": 1000, "e": 1.5, "f": 31, "g": null, "h": "12:30:45",
                   "i": 1000.0, "j": -7, "k": "1.2.3", "l": "2020-01-01", "m": false, "n": 15, "o": "5",
                   "p": 89.0, "q": "8080", "r": "y"})
        );
    }

    #[test]
    fn every_field_has_its_line() {
        let text =
            "spec:\n  http:\n  - name: a\n    route:\n    - destination: {host: x}\n  - name: |\n      b\n";
        let lines = load(text, 10).unwrap().remove(0).lines;
        for (path, line) in [
            ("spec", 10),
            ("spec.http", 11),
            ("spec.http[0]", 12),
            ("spec.http[0].route", 13),
            ("spec.http[0].route[0].destination.host", 14),
            ("spec.http[1].name", 15),
            ("spec.http[1].nothing.here", 15),
        ] {
            assert_eq!(lines.at(&FieldPath::parse(path)), line, "{path}");
        }
    }

    #[test]
    fn aliases_and_merge_keys() {
        let text = "base: &b {x: 1, y: 2}\nuse: *b\nmerged:\n  <<: *b\n  y: 3\n";
        assert_eq!(
            one(text).value,
            json!({"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 2}, "merged": {"y": 3, "x": 1}})
        );
    }

    #[test]
    fn duplicates_are_told() {
        let document = one("a:\n  - b: 1\n    b: 2\n");
        assert_eq!(document.value, json!({"a": [{"b": 2}]}));
        assert_eq!(document.duplicates, vec![(FieldPath::parse("a[0].b"), 3)]);
    }

    #[test]
    fn alias_bombs_and_depth_are_bounded() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for i in 1..9 {
            let item = format!("*a{}", i - 1);
            bomb += &format!("a{i}: &a{i} [{}]\n", vec![item; 10].join(","));
        }
        assert!(load(&bomb, 1).is_err());
        assert!(load(&"[".repeat(5000), 1).is_err());
    }

    #[test]
    fn errors_have_lines() {
        assert_eq!(load("a: 1\nb: [\n", 5).unwrap_err().line, 7);
    }

    #[test]
    fn json_too() {
        assert_eq!(
            one("{\"a\": [1, true, \"x\\n\"],\n \"b\": {}}").value,
            json!({"a": [1, true, "x\n"], "b": {}})
        );
        let documents = load("{\"a\":\t1}\n\n{\"b\": \"\\ud83d\\ude00\"}\n", 5).unwrap();
        let read: Vec<_> = documents.iter().map(|d| (d.lines.line, d.value.clone())).collect();
        assert_eq!(read, [(5, json!({"a": 1})), (7, json!({"b": "😀"}))]);
    }
}
