//! The functions of Helm's templates, for gotmpl.
//!
//! Called by meshctl's renderer of charts and by the injector, which adds its own. Each does what Helm's does for values
//! as JSON has them. `include` and `filesGet` know the chart and are made by the renderer. What changes a value in place
//! (`set`, `unset`) does not exist here; templates that name it are told so.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::{FuncMap, Result, TemplateError, Value};
use serde_json::Value as Json;

/// All functions that need nothing but their arguments.
pub fn functions() -> FuncMap {
    let mut map = FuncMap::new();
    for (name, function) in ALL.iter().chain(super::more::ALL) {
        let function = *function;
        map.insert((*name).into(), Arc::new(move |args: &[Value]| function(Args(name, args))));
    }
    map
}

/// An error that a template raises, as its text.
pub fn failed(text: impl Into<String>) -> TemplateError {
    TemplateError::Exec(text.into())
}

/// A value for templates.
///
/// # Errors
/// Never for JSON; the type is that of functions.
pub fn from_json(json: &Json) -> Result<Value> {
    gotmpl::to_value(json)
}

/// Key of a Go struct under which its JSON form stands; no field has an empty name.
pub(crate) const AS_JSON: &str = "";

/// The JSON form of a value. Functions have no counterpart and never stand in values.
pub fn to_json(value: &Value) -> Json {
    if let Some(form) = value.field(AS_JSON) {
        return to_json(form);
    }
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) => Json::from(*value),
        Value::Uint(value) => Json::from(*value),
        Value::Float(value) => Json::from(*value),
        Value::String(text) => Json::from(text.as_ref()),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => {
            Json::Object(map.iter().map(|(key, value)| (key.to_string(), to_json(value))).collect())
        }
        _ => Json::Null,
    }
}

/// The first document of a text; Helm gives errors as a value, here they stop.
///
/// # Errors
/// The text is no YAML; the error names its line.
pub fn yaml(text: &str) -> Result<Json> {
    let documents = api::yaml::load(text, 1)
        .map_err(|error| failed(format!("line {}: {}", error.line, error.message)))?;
    Ok(documents.into_iter().next().map_or(Json::Null, |document| document.value))
}

/// `over` wins, key by key; null takes a value away.
pub fn merge_over(base: &mut Json, over: &Json) {
    merge(base, over, true);
}

fn merge(base: &mut Json, other: &Json, other_wins: bool) {
    match (base, other) {
        (Json::Object(base), Json::Object(other)) => {
            for (key, value) in other {
                match base.get_mut(key) {
                    Some(place) => merge(place, value, other_wins),
                    None => {
                        base.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (base, other) if other_wins => *base = other.clone(),
        _ => {}
    }
}

/// What a function was called with.
#[derive(Clone, Copy)]
pub struct Args<'a>(pub &'a str, pub &'a [Value]);

impl<'a> Args<'a> {
    /// An argument that must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn at(self, index: usize) -> Result<&'a Value> {
        self.1.get(index).ok_or_else(|| failed(format!("{}: argument {} is missing", self.0, index + 1)))
    }

    /// An argument as Go prints it; nothing prints as nothing.
    ///
    /// # Errors
    /// It is missing.
    pub fn text(self, index: usize) -> Result<String> {
        Ok(match self.at(index)? {
            Value::String(text) => text.to_string(),
            Value::Nil => String::new(),
            other => other.to_string(),
        })
    }

    /// An argument as JSON.
    ///
    /// # Errors
    /// It is missing.
    pub fn json(self, index: usize) -> Result<Json> {
        self.at(index).map(to_json)
    }

    /// An argument that counts something.
    ///
    /// # Errors
    /// It is missing or no such number.
    pub fn size(self, index: usize) -> Result<usize> {
        let number = self.at(index)?.as_int().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| failed(format!("{}: argument {} is no number", self.0, index + 1)))
    }

    /// An argument that is a list; nothing is an empty one.
    ///
    /// # Errors
    /// It is missing or no list.
    pub fn list(self, index: usize) -> Result<&'a [Value]> {
        match self.at(index)? {
            Value::List(items) => Ok(items),
            Value::Nil => Ok(&[]),
            _ => Err(failed(format!("{}: argument {} is no list", self.0, index + 1))),
        }
    }
}

/// A string for templates.
pub fn text(text: impl Into<String>) -> Value {
    Value::String(text.into().into())
}

fn indented(width: usize, lines: &str) -> String {
    let margin = " ".repeat(width);
    format!("{margin}{}", lines.replace('\n', &format!("\n{margin}")))
}

pub(super) fn regex(pattern: &str) -> Result<regex::Regex> {
    regex::Regex::new(pattern).map_err(|error| failed(error.to_string()))
}

/// A function of templates.
pub type Function = fn(Args<'_>) -> Result<Value>;

const ALL: &[(&str, Function)] = &[
    ("fail", |a| Err(failed(a.text(0)?))),
    ("fromYaml", |a| from_json(&yaml(&a.text(0)?)?)),
    ("fromYamlArray", |a| from_json(&yaml(&a.text(0)?)?)),
    ("toYaml", |a| Ok(text(api::emit::to_yaml(&a.json(0)?).trim_end_matches('\n')))),
    ("toJson", |a| Ok(text(a.json(0)?.to_string()))),
    ("toPrettyJson", |a| Ok(text(format!("{:#}", a.json(0)?)))),
    ("dict", dict),
    ("list", |a| Ok(Value::List(a.1.to_vec().into()))),
    // Values are never changed in place.
    ("deepCopy", |a| a.at(0).cloned()),
    ("merge", |a| merged(a, false)),
    ("mustMergeOverwrite", |a| merged(a, true)),
    ("omit", omit),
    ("get", |a| Ok(a.at(0)?.field(&a.text(1)?).cloned().unwrap_or_else(|| text("")))),
    ("hasKey", |a| Ok(Value::Bool(a.at(0)?.field(&a.text(1)?).is_some()))),
    ("has", |a| Ok(Value::Bool(a.list(1)?.contains(a.at(0)?)))),
    ("kindIs", |a| Ok(Value::Bool(a.text(0)? == kind(a.at(1)?)))),
    ("default", |a| Ok(a.1.get(1).filter(|given| given.is_truthy()).unwrap_or(a.at(0)?).clone())),
    ("empty", |a| Ok(Value::Bool(!a.at(0)?.is_truthy()))),
    ("ternary", |a| a.at(if a.at(2)?.is_truthy() { 0 } else { 1 }).cloned()),
    ("quote", |a| Ok(text(Json::from(a.text(0)?).to_string()))),
    ("contains", |a| Ok(Value::Bool(a.text(1)?.contains(&a.text(0)?)))),
    ("indent", |a| Ok(text(indented(a.size(0)?, &a.text(1)?)))),
    ("nindent", |a| Ok(text(format!("\n{}", indented(a.size(0)?, &a.text(1)?))))),
    ("trimPrefix", |a| {
        let (start, whole) = (a.text(0)?, a.text(1)?);
        Ok(text(whole.strip_prefix(&start).unwrap_or(&whole)))
    }),
    ("join", join),
    ("splitList", |a| Ok(Value::List(a.text(1)?.split(&a.text(0)?).map(text).collect()))),
    ("regexFind", |a| Ok(text(regex(&a.text(0)?)?.find(&a.text(1)?).map_or("", |found| found.as_str())))),
    ("regexMatch", |a| Ok(Value::Bool(regex(&a.text(0)?)?.is_match(&a.text(1)?)))),
];

pub(super) fn dict(args: Args<'_>) -> Result<Value> {
    let mut map = BTreeMap::new();
    for index in (0..args.1.len()).step_by(2) {
        map.insert(args.text(index)?.into(), args.at(index + 1)?.clone());
    }
    Ok(Value::Map(Arc::new(map)))
}

pub(super) fn merged(args: Args<'_>, other_wins: bool) -> Result<Value> {
    let mut whole = args.json(0)?;
    for other in args.1.iter().skip(1) {
        merge(&mut whole, &to_json(other), other_wins);
    }
    from_json(&whole)
}

fn omit(args: Args<'_>) -> Result<Value> {
    let Value::Map(map) = args.at(0)? else { return Err(failed("omit: argument 1 is no mapping")) };
    let mut map = (**map).clone();
    for index in 1..args.1.len() {
        map.remove(args.text(index)?.as_str());
    }
    Ok(Value::Map(Arc::new(map)))
}

fn join(args: Args<'_>) -> Result<Value> {
    let words: Vec<String> = args.list(1)?.iter().map(ToString::to_string).collect();
    Ok(text(words.join(&args.text(0)?)))
}

/// Go's word for a kind of value. Helm reads all numbers of a values file as `float64`.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Map(_) => "map",
        Value::List(_) => "slice",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Nil => "invalid",
        Value::Function(_) => "func",
        _ => "float64",
    }
}
