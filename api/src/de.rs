//! From a value to a typed struct, with the path of every complaint.
//!
//! `parse` calls it with a document's `spec`. It accepts what the JSON form of protobuf accepts for the mesh's own
//! kinds (snake_case keys, numbers in strings), takes null for absent, collects the keys that a struct does not
//! have, and after a wrong value drops that value and reads on, so that one run names every mistake.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use serde_json::{Map, Value};

use crate::path::{FieldPath, Step};

/// Wrong values after which reading one object gives up.
const MAX_WRONG: usize = 50;

/// What to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Protobuf's JSON form: snake_case keys and quoted numbers are fine too.
    Proto,
    /// Kubernetes: names and types exactly as declared.
    Kube,
}

/// What reading one value gave.
#[derive(Debug)]
pub struct Read<T> {
    /// The struct, without the parts that were wrong; none where nothing could be made of it.
    pub value: Option<T>,
    /// Keys that the structs do not have, with the nearest key that they do have.
    pub unknown: Vec<(FieldPath, Option<&'static str>)>,
    /// Values that did not fit, with the reason.
    pub wrong: Vec<(FieldPath, String)>,
}

/// Reads a `T`; paths start at `root`.
pub fn read<T: DeserializeOwned>(value: &Value, dialect: Dialect, root: &FieldPath) -> Read<T> {
    let mut result = Read { value: None, unknown: Vec::new(), wrong: Vec::new() };
    let mut pruned: Option<Value> = None;
    for _ in 0..MAX_WRONG {
        let source = pruned.as_ref().unwrap_or(value);
        let context = Context { dialect, path: RefCell::new(Vec::new()), unknown: RefCell::new(Vec::new()) };
        let made = T::deserialize(De { value: source, context: &context });
        if result.unknown.is_empty() {
            result.unknown = context.unknown.take();
        }
        match made {
            Ok(made) => {
                result.value = Some(made);
                break;
            }
            Err(error) => {
                let path = context.path.take();
                let message = error.0;
                let steps = root.steps().iter().chain(&path).cloned().collect();
                result.wrong.push((FieldPath(steps), message));
                let mut next = pruned.take().unwrap_or_else(|| value.clone());
                if path.is_empty() || !prune(&mut next, &path) {
                    break;
                }
                pruned = Some(next);
            }
        }
    }
    for (path, _) in &mut result.unknown {
        path.0.splice(0..0, root.steps().iter().cloned());
    }
    result
}

/// Nulls the value at the path; false when it is not there.
fn prune(value: &mut Value, path: &[Step]) -> bool {
    let Some((last, front)) = path.split_last() else { return false };
    let mut node = value;
    for step in front {
        let next = match step {
            Step::Key(key) => node.get_mut(key.as_str()),
            Step::Index(index) => node.get_mut(*index),
        };
        let Some(next) = next else { return false };
        node = next;
    }
    match (last, node) {
        (Step::Key(key), Value::Object(map)) => map.remove(key).is_some(),
        // Null and not removed, so that the indexes of later complaints stay right.
        (Step::Index(index), Value::Array(items)) => match items.get_mut(*index) {
            Some(item) if !item.is_null() => {
                *item = Value::Null;
                true
            }
            _ => false,
        },
        _ => false,
    }
}

#[derive(Debug)]
struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error(message.to_string())
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Error(format!("{variant:?} is not one of {}", expected.join(", ")))
    }
}

struct Context {
    dialect: Dialect,
    path: RefCell<Vec<Step>>,
    unknown: RefCell<Vec<(FieldPath, Option<&'static str>)>>,
}

impl Context {
    /// Runs with one more step on the path; after a failure the path stays, to say where.
    fn step<T>(&self, step: Step, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.path.borrow_mut().push(step);
        let result = run()?;
        self.path.borrow_mut().pop();
        Ok(result)
    }
}

#[derive(Clone, Copy)]
struct De<'a> {
    value: &'a Value,
    context: &'a Context,
}

impl De<'_> {
    fn mismatch<T>(&self, wanted: &str) -> Result<T, Error> {
        let hint = match (self.value, wanted) {
            (Value::Number(_) | Value::Bool(_), "a string") => "; put it in quotes",
            _ => "",
        };
        Err(Error(format!("expected {wanted}, got {}{hint}", describe(self.value))))
    }

    /// A number, where the dialect allows also out of a string.
    fn number(&self) -> Option<serde_json::Number> {
        match self.value {
            Value::Number(number) => Some(number.clone()),
            Value::String(text) if self.context.dialect == Dialect::Proto => text.parse().ok(),
            _ => None,
        }
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

macro_rules! integers {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let Some(number) = self.number() else { return self.mismatch("a whole number") };
            let wrong = |e: Error| Error(format!("{} is out of range: {e}", describe(self.value)));
            if let Some(value) = number.as_i64() {
                return visitor.visit_i64(value).map_err(wrong);
            }
            if let Some(value) = number.as_u64() {
                return visitor.visit_u64(value).map_err(wrong);
            }
            match number.as_f64() {
                // Whole numbers written as 1e3 or 2.0.
                Some(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                    #[allow(clippy::cast_possible_truncation)] // whole and small, see the line above
                    let whole = value as i64;
                    visitor.visit_i64(whole).map_err(wrong)
                }
                _ => self.mismatch("a whole number"),
            }
        }
    )* };
}

impl<'de> de::Deserializer<'de> for De<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_i64(value),
                (_, Some(value), _) => visitor.visit_u64(value),
                (_, _, value) => visitor.visit_f64(value.unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items, next: 0, context: self.context }),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => self.mismatch("true or false"),
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.number().and_then(|n| n.as_f64()) {
            Some(value) => visitor.visit_f64(value),
            None => self.mismatch("a number"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::String(text) => visitor.visit_str(text),
            _ => self.mismatch("a string"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Array(items) => visitor.visit_seq(Items { items, next: 0, context: self.context }),
            _ => self.mismatch("a list"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(map) => visitor.visit_map(Entries::new(map, None, self.context)),
            _ => self.mismatch("a mapping"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(map) => visitor.visit_map(Entries::new(map, Some(fields), self.context)),
            // An item that was wrong before, or a key without a value.
            Value::Null => visitor.visit_map(Entries::new(&Map::new(), Some(fields), self.context)),
            _ => self.mismatch("a mapping"),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => self.mismatch(&format!("one of {}", variants.join(", "))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a> {
    items: &'a [Value],
    next: usize,
    context: &'a Context,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let index = self.next;
        let Some(value) = self.items.get(index) else { return Ok(None) };
        self.next += 1;
        let context = self.context;
        context.step(Step::Index(index), || seed.deserialize(De { value, context })).map(Some)
    }
}

struct Entries<'a> {
    entries: serde_json::map::Iter<'a>,
    /// The keys of the struct that is read; none for a free map.
    fields: Option<&'static [&'static str]>,
    current: Option<(&'a String, &'a Value)>,
    context: &'a Context,
}

impl<'a> Entries<'a> {
    fn new(
        map: &'a Map<String, Value>,
        fields: Option<&'static [&'static str]>,
        context: &'a Context,
    ) -> Self {
        Entries { entries: map.iter(), fields, current: None, context }
    }

    /// The struct's own spelling of a key, or a note that it has none.
    fn known(&self, fields: &'static [&'static str], key: &str) -> Option<&'static str> {
        let find = |key: &str| fields.iter().copied().find(|field| *field == key);
        let found = find(key).or_else(|| match self.context.dialect {
            Dialect::Proto if key.contains('_') => find(&camel(key)),
            _ => None,
        });
        if found.is_none() {
            let mut path = FieldPath(self.context.path.borrow().clone());
            path.0.push(Step::Key(key.to_owned()));
            self.context.unknown.borrow_mut().push((path, nearest(fields.iter().copied(), key)));
        }
        found
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        while let Some((key, value)) = self.entries.next() {
            let name = match self.fields {
                None => key.as_str(),
                Some(fields) => match self.known(fields, key) {
                    Some(name) if !value.is_null() => name,
                    _ => continue,
                },
            };
            self.current = Some((key, value));
            let name: StrDeserializer<'_, Error> = name.into_deserializer();
            return seed.deserialize(name).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (key, value) = self.current.take().expect("serde asks for a value after its key");
        let context = self.context;
        context.step(Step::Key(key.clone()), || seed.deserialize(De { value, context }))
    }
}

/// `snake_case` to `lowerCamelCase`.
pub(crate) fn camel(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut upper = false;
    for c in key.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

/// The word that was probably meant.
pub fn nearest<'a>(words: impl IntoIterator<Item = &'a str>, word: &str) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let best = words.into_iter().map(|w| (distance(&w.to_lowercase(), &lower), w)).min()?;
    (best.0 <= 1 + word.len() / 4).then_some(best.1)
}

/// Edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = cost.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[allow(unreachable_pub)] // `spec!` makes public types, which nobody outside of a test module can name
mod tests {
    use super::*;
    use crate::time::Duration;
    use serde_json::json;

    spec! {
        pub struct Outer {
            inner: Vec<Inner>,
            wait_time: Option<Duration>,
            labels: std::collections::BTreeMap<String, String>,
            #[serde(rename = "match")]
            matches: Option<Inner>,
            free: Value,
        }
        pub struct Inner {
            count: u32,
            mode: Mode,
        }
    }
    choice! {
        pub enum Mode { #[default] Unset = "UNSET", Strict = "STRICT" }
    }

    #[test]
    fn names_every_mistake() {
        let value = json!({
            "inner": [{"count": "x"}, {"count": 2, "mode": "LOOSE"}, 5],
            "waitTime": "soon", "labels": {"a": 1}, "lables": {}, "free": {"x": null},
        });
        let read: Read<Outer> = read(&value, Dialect::Kube, &FieldPath::parse("spec"));
        let wrong: Vec<_> = read.wrong.iter().map(|(path, message)| format!("{path}: {message}")).collect();
        assert_eq!(
            wrong,
            [
                "spec.inner[0].count: expected a whole number, got the string \"x\"",
                "spec.inner[1].mode: \"LOOSE\" is not one of UNSET, STRICT",
                "spec.inner[2]: expected a mapping, got the number 5",
                "spec.waitTime: \"soon\" is not a duration; write a number with a unit, such as 10s, 1h30m or 250ms",
                "spec.labels.a: expected a string, got the number 1; put it in quotes",
            ]
        );
        assert_eq!(read.unknown, [(FieldPath::parse("spec.lables"), Some("labels"))]);
        let made = read.value.unwrap();
        assert_eq!(made.inner[1].count, 2);
        assert_eq!(made.free, json!({"x": null}));
    }

    #[test]
    fn proto_json_habits() {
        let value = json!({"wait_time": "1s", "inner": [{"count": "7"}], "match": {"mode": "STRICT"}, "labels": null});
        let proto: Read<Outer> = read(&value, Dialect::Proto, &FieldPath::default());
        assert!(proto.wrong.is_empty() && proto.unknown.is_empty());
        let made = proto.value.unwrap();
        assert_eq!((made.wait_time, made.inner[0].count), (Some(Duration::from_secs(1)), 7));
        assert_eq!(made.matches.unwrap().mode, Mode::Strict);
        let kube: Read<Outer> = read(&value, Dialect::Kube, &FieldPath::default());
        assert_eq!((kube.wrong.len(), kube.unknown.len()), (1, 1));
    }
}
