//! Functions that our own charts do not use and templates of users do: the rest of what Helm's library is used for.
//!
//! Called through `functions`. Functions that read the clock, the network, files or random numbers do not exist: the same
//! pod gives the same result.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gotmpl::{Result, Value};

use super::functions::{Args, Function, failed, from_json, kind, merged, regex, text, to_json};

pub(super) const ALL: &[(&str, Function)] = &[
    // Strings.
    ("trim", |a| Ok(text(a.text(0)?.trim()))),
    ("trimAll", |a| Ok(text(a.text(1)?.trim_matches(|c| a.text(0).is_ok_and(|set| set.contains(c)))))),
    ("trimSuffix", |a| {
        let (end, whole) = (a.text(0)?, a.text(1)?);
        Ok(text(whole.strip_suffix(&end).unwrap_or(&whole)))
    }),
    ("upper", |a| Ok(text(a.text(0)?.to_uppercase()))),
    ("lower", |a| Ok(text(a.text(0)?.to_lowercase()))),
    ("title", |a| Ok(text(titled(&a.text(0)?)))),
    ("nospace", |a| Ok(text(a.text(0)?.split_whitespace().collect::<String>()))),
    ("replace", |a| Ok(text(a.text(2)?.replace(&a.text(0)?, &a.text(1)?)))),
    ("hasPrefix", |a| Ok(Value::Bool(a.text(1)?.starts_with(&a.text(0)?)))),
    ("hasSuffix", |a| Ok(Value::Bool(a.text(1)?.ends_with(&a.text(0)?)))),
    ("repeat", |a| Ok(text(a.text(1)?.repeat(a.size(0)?.min(10_000))))),
    ("trunc", trunc),
    ("substr", |a| {
        let whole = a.text(2)?;
        let part = whole.chars().skip(a.size(0)?).take(a.size(1)?.saturating_sub(a.size(0)?));
        Ok(text(part.collect::<String>()))
    }),
    ("squote", |a| Ok(text(format!("'{}'", a.text(0)?)))),
    ("cat", |a| Ok(text(words(a)?.join(" ")))),
    ("toString", |a| Ok(text(a.text(0)?))),
    ("toStrings", |a| Ok(Value::List(a.list(0)?.iter().map(|item| text(item.to_string())).collect()))),
    ("b64enc", |a| Ok(text(STANDARD.encode(a.text(0)?)))),
    ("b64dec", |a| {
        let bytes = STANDARD.decode(a.text(0)?).map_err(|error| failed(format!("b64dec: {error}")))?;
        Ok(text(String::from_utf8_lossy(&bytes)))
    }),
    ("regexReplaceAll", |a| {
        // Go writes ${1}; both understand that.
        Ok(text(regex(&a.text(0)?)?.replace_all(&a.text(1)?, a.text(2)?.as_str()).into_owned()))
    }),
    ("regexFindAll", |a| {
        let (pattern, whole) = (regex(&a.text(0)?)?, a.text(1)?);
        Ok(Value::List(pattern.find_iter(&whole).map(|found| text(found.as_str())).collect()))
    }),
    ("regexSplit", |a| {
        let (pattern, whole) = (regex(&a.text(0)?)?, a.text(1)?);
        Ok(Value::List(pattern.split(&whole).map(text).collect()))
    }),
    // Numbers.
    ("int", |a| Ok(Value::Int(number(a, 0)?))),
    ("int64", |a| Ok(Value::Int(number(a, 0)?))),
    ("atoi", |a| Ok(Value::Int(number(a, 0)?))),
    ("float64", |a| Ok(Value::Float(a.text(0)?.trim().parse().unwrap_or(0.0)))),
    ("add", |a| counted(a, i64::checked_add)),
    ("add1", |a| Ok(Value::Int(number(a, 0)?.saturating_add(1)))),
    ("sub", |a| counted(a, i64::checked_sub)),
    ("mul", |a| counted(a, i64::checked_mul)),
    ("div", |a| counted(a, i64::checked_div)),
    ("mod", |a| counted(a, i64::checked_rem)),
    ("max", |a| counted(a, |x, y| Some(x.max(y)))),
    ("min", |a| counted(a, |x, y| Some(x.min(y)))),
    ("until", |a| Ok(Value::List((0..number(a, 0)?.clamp(0, 10_000)).map(Value::Int).collect()))),
    // Lists and mappings.
    ("first", |a| Ok(a.list(0)?.first().cloned().unwrap_or(Value::Nil))),
    ("last", |a| Ok(a.list(0)?.last().cloned().unwrap_or(Value::Nil))),
    ("rest", |a| Ok(Value::List(a.list(0)?.iter().skip(1).cloned().collect()))),
    ("initial", |a| {
        let items = a.list(0)?;
        Ok(Value::List(items.iter().take(items.len().saturating_sub(1)).cloned().collect()))
    }),
    ("reverse", |a| Ok(Value::List(a.list(0)?.iter().rev().cloned().collect()))),
    ("append", |a| Ok(Value::List(a.list(0)?.iter().chain([a.at(1)?]).cloned().collect()))),
    ("prepend", |a| Ok(Value::List([a.at(1)?].into_iter().chain(a.list(0)?).cloned().collect()))),
    ("concat", |a| {
        let lists: Result<Vec<&[Value]>> = (0..a.1.len()).map(|index| a.list(index)).collect();
        Ok(Value::List(lists?.concat().into()))
    }),
    ("uniq", |a| {
        let mut kept: Vec<Value> = Vec::new();
        for item in a.list(0)? {
            if !kept.contains(item) {
                kept.push(item.clone());
            }
        }
        Ok(Value::List(kept.into()))
    }),
    ("without", |a| {
        let others = a.1.get(1..).unwrap_or_default();
        Ok(Value::List(a.list(0)?.iter().filter(|item| !others.contains(item)).cloned().collect()))
    }),
    ("compact", |a| Ok(Value::List(a.list(0)?.iter().filter(|item| item.is_truthy()).cloned().collect()))),
    ("sortAlpha", |a| {
        let mut words: Vec<String> = a.list(0)?.iter().map(ToString::to_string).collect();
        words.sort();
        Ok(Value::List(words.into_iter().map(text).collect()))
    }),
    ("keys", |a| Ok(Value::List(entries(a)?.into_iter().map(|(key, _)| text(key)).collect()))),
    ("values", |a| Ok(Value::List(entries(a)?.into_iter().map(|(_, value)| value).collect()))),
    ("pick", pick),
    ("dig", dig),
    ("mergeOverwrite", |a| merged(a, true)),
    ("mustMerge", |a| merged(a, false)),
    ("tuple", |a| Ok(Value::List(a.1.to_vec().into()))),
    // Decisions.
    ("coalesce", |a| Ok(a.1.iter().find(|value| value.is_truthy()).cloned().unwrap_or(Value::Nil))),
    ("all", |a| Ok(Value::Bool(a.1.iter().all(Value::is_truthy)))),
    ("any", |a| Ok(Value::Bool(a.1.iter().any(Value::is_truthy)))),
    ("required", |a| match a.at(1)? {
        value if value.is_truthy() => Ok(value.clone()),
        _ => Err(failed(a.text(0)?)),
    }),
    ("deepEqual", |a| Ok(Value::Bool(to_json(a.at(0)?) == to_json(a.at(1)?)))),
    ("kindOf", |a| Ok(text(kind(a.at(0)?)))),
    ("fromJson", |a| read_json(&a.text(0)?)),
    ("mustFromJson", |a| read_json(&a.text(0)?)),
    ("toRawJson", |a| Ok(text(a.json(0)?.to_string()))),
    ("mustToJson", |a| Ok(text(a.json(0)?.to_string()))),
];

pub(super) fn read_json(json: &str) -> Result<Value> {
    let value = serde_json::from_str(json).map_err(|error| failed(format!("no JSON: {error}")))?;
    from_json(&value)
}

fn words(args: Args<'_>) -> Result<Vec<String>> {
    (0..args.1.len()).map(|index| args.text(index)).collect()
}

/// Text counts as the number in it, anything else as nothing.
fn number(args: Args<'_>, index: usize) -> Result<i64> {
    let value = args.at(index)?;
    Ok(value.as_int().unwrap_or_else(|| value.to_string().trim().parse().unwrap_or_default()))
}

fn counted(args: Args<'_>, step: fn(i64, i64) -> Option<i64>) -> Result<Value> {
    let mut sum = number(args, 0)?;
    for index in 1..args.1.len() {
        let next = number(args, index)?;
        sum =
            step(sum, next).ok_or_else(|| failed(format!("{}: {sum} and {next} give no number", args.0)))?;
    }
    Ok(Value::Int(sum))
}

fn titled(words: &str) -> String {
    let mut start = true;
    let upper = |c: char| {
        let at_start = std::mem::replace(&mut start, c.is_whitespace());
        if at_start { c.to_uppercase().collect::<String>() } else { c.to_string() }
    };
    words.chars().map(upper).collect()
}

/// The first characters, or the last where the number is negative.
fn trunc(args: Args<'_>) -> Result<Value> {
    let (size, whole) = (number(args, 0)?, args.text(1)?);
    let length = usize::try_from(size.unsigned_abs()).unwrap_or(usize::MAX);
    let skip = if size < 0 { whole.chars().count().saturating_sub(length) } else { 0 };
    Ok(text(whole.chars().skip(skip).take(length).collect::<String>()))
}

fn entries(args: Args<'_>) -> Result<Vec<(String, Value)>> {
    match args.at(0)? {
        Value::Map(map) => Ok(map.iter().map(|(key, value)| (key.to_string(), value.clone())).collect()),
        Value::Nil => Ok(Vec::new()),
        _ => Err(failed(format!("{}: argument 1 is no mapping", args.0))),
    }
}

fn pick(args: Args<'_>) -> Result<Value> {
    let wanted: Result<Vec<String>> = (1..args.1.len()).map(|index| args.text(index)).collect();
    let wanted = wanted?;
    let kept = entries(args)?.into_iter().filter(|(key, _)| wanted.contains(key));
    Ok(Value::Map(Arc::new(kept.map(|(key, value)| (key.into(), value)).collect())))
}

/// `dig "a" "b" default mapping`.
fn dig(args: Args<'_>) -> Result<Value> {
    let Some(keys) = args.1.len().checked_sub(2) else { return Err(failed("dig: too few arguments")) };
    let mut at = args.at(keys + 1)?;
    for index in 0..keys {
        match at.field(&args.text(index)?) {
            Some(inner) => at = inner,
            None => return args.at(keys).cloned(),
        }
    }
    Ok(at.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::template::{Program, from_json, functions};

    /// What each does, as Helm's documentation says.
    #[test]
    fn does_what_helm_does() {
        let dot = json!({"l": ["b", "a", "b"], "m": {"x": {"y": 1}, "z": "w"}, "e": ""});
        for (text, expected) in [
            (r#"{{ trimAll "$" "$5.00$" }} {{ trimSuffix "-" "a-" }} {{ "ab cd" | title }}"#, "5.00 a Ab Cd"),
            (r#"{{ trunc 2 "hello" }} {{ trunc -2 "hello" }} {{ substr 1 3 "hello" }}"#, "he lo el"),
            (r#"{{ "a-b" | replace "-" "." }} {{ hasPrefix "a" "ab" }} {{ cat "x" "y" }}"#, "a.b true x y"),
            (r#"{{ add 1 2 3 }} {{ sub 5 2 }} {{ max 1 "7" 3 }} {{ int "12" }}"#, "6 3 7 12"),
            (
                r#"{{ .l | uniq | sortAlpha | join "," }} {{ first .l }} {{ without .l "b" | join "" }}"#,
                "a,b b a",
            ),
            (r#"{{ keys .m | join "," }} {{ dig "x" "y" 0 .m }} {{ dig "x" "n" 0 .m }}"#, "x,z 1 0"),
            (r#"{{ pick .m "z" | toJson }} {{ coalesce .e "c" }} {{ kindOf .m }}"#, r#"{"z":"w"} c map"#),
            (
                r#"{{ b64enc "hi" }} {{ b64dec "aGk=" }} {{ regexReplaceAll "a(.)" "ab" "${1}x" }}"#,
                "aGk= hi bx",
            ),
        ] {
            let made = Program::parse("t", text, functions()).unwrap().render(&from_json(&dot).unwrap());
            assert_eq!(made.unwrap(), expected, "{text}");
        }
        let wrong = |text: &str| {
            Program::parse("t", text, functions()).unwrap().render(&from_json(&dot).unwrap()).unwrap_err()
        };
        assert_eq!(wrong("{{ div 1 0 }}"), "template t, line 1: div: 1 and 0 give no number");
        assert_eq!(wrong("{{ required \"say z\" .e }}"), "template t, line 1: say z");
    }
}
