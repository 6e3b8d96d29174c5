//! Settings from the environment, all mistakes at once.
//!
//! In: variable names with their defaults, asked one by one. Out: typed values; wrong ones yield the default and
//! are remembered, and [`Settings::finish`] returns every mistake together. [`Settings::effective`] lists what is
//! in force and where it came from. Called at the start of each program, before anything runs.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?}: {reason}")]
pub struct Wrong {
    /// The variable.
    pub name: String,
    /// What it says.
    pub value: String,
    /// What is wrong and what is expected.
    pub reason: String,
}

/// All mistakes of one start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Wrong>);

/// A value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// As text.
    pub value: String,
    /// False if it is the default.
    pub set: bool,
}

/// The reader.
#[derive(Debug, Default)]
pub struct Settings {
    source: BTreeMap<String, String>,
    wrong: Vec<Wrong>,
    effective: BTreeMap<String, Effective>,
}

impl Settings {
    /// Reads this process's environment.
    pub fn from_env() -> Self {
        Settings::from_pairs(
            std::env::vars_os().filter_map(|(key, value)| {
                Some((key.into_string().ok()?, value.to_string_lossy().into_owned()))
            }),
        )
    }

    /// Reads given pairs: for tests and for programs that run several components in one process.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let source = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Settings { source, ..Settings::default() }
    }

    /// A value of any type that parses from text; unset or empty means `default`.
    pub fn get<T>(&mut self, name: &str, default: T) -> T
    where
        T: FromStr + Display,
        T::Err: Display,
    {
        self.read(name, default, |text| text.parse::<T>().map_err(|e| e.to_string()), T::to_string)
    }

    /// Text that may be absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.read(
            name,
            None,
            |text| Ok(Some(text.to_owned())),
            |value: &Option<String>| value.clone().unwrap_or_default(),
        )
    }

    /// Text that must be there; its absence is a mistake.
    pub fn required(&mut self, name: &str) -> String {
        let value = self.text(name);
        if value.is_none() {
            self.mistake(name, "", "must be set".into());
        }
        value.unwrap_or_default()
    }

    /// true/false, also 1/0, yes/no, on/off.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" | "yes" | "on" => Ok(true),
            "0" | "f" | "false" | "no" | "off" => Ok(false),
            _ => Err("expected true or false".into()),
        };
        self.read(name, default, parse, bool::to_string)
    }

    /// A duration as Go writes it: `300ms`, `1m30s`, `24h`.
    pub fn duration(&mut self, name: &str, default: Duration) -> Duration {
        self.read(name, default, parse_duration, |value| format!("{value:?}"))
    }

    /// A list separated by commas; blanks around items are dropped, and so are empty items.
    pub fn list(&mut self, name: &str, default: &[&str]) -> Vec<String> {
        let default = default.iter().map(|&item| item.to_owned()).collect();
        let parse = |text: &str| {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        };
        self.read(name, default, parse, |value: &Vec<String>| value.join(","))
    }

    /// Adds a mistake that a caller found (two settings that exclude each other, say).
    pub fn mistake(&mut self, name: &str, value: &str, reason: String) {
        self.wrong.push(Wrong { name: name.into(), value: value.into(), reason });
    }

    /// Every variable that starts with `prefix`, without it.
    pub fn with_prefix(&self, prefix: &str) -> BTreeMap<String, String> {
        self.source
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())))
            .collect()
    }

    /// What is in force, by name.
    pub fn effective(&self) -> &BTreeMap<String, Effective> {
        &self.effective
    }

    /// All mistakes together, if there are any.
    pub fn finish(&mut self) -> Result<(), Mistakes> {
        match std::mem::take(&mut self.wrong) {
            wrong if wrong.is_empty() => Ok(()),
            wrong => Err(Mistakes(wrong)),
        }
    }

    fn read<T>(
        &mut self,
        name: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let given = self.source.get(name).filter(|text| !text.is_empty()).cloned();
        let set = given.is_some();
        let value = match given.map(|text| (parse(text.trim()), text)) {
            Some((Ok(value), _)) => value,
            Some((Err(reason), text)) => {
                self.mistake(name, &text, reason);
                default
            }
            None => default,
        };
        self.effective.insert(name.into(), Effective { value: show(&value), set });
        value
    }
}

/// Parses a duration as Go writes it; plain `0` is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; expected for example 300ms, 10s, 1m30s, 24h");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0f64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * seconds;
        rest = tail;
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_values_and_collects_every_mistake() {
        let mut s = Settings::from_pairs([
            ("PORT", "x"),
            ("TTL", "1m30s"),
            ("ON", "maybe"),
            ("LIST", "a, b,,c"),
            ("EMPTY", ""),
        ]);
        assert_eq!(s.get("PORT", 15010u16), 15010);
        assert_eq!(s.duration("TTL", Duration::ZERO), Duration::from_secs(90));
        assert!(s.flag("ON", true));
        assert_eq!(s.list("LIST", &[]), ["a", "b", "c"]);
        assert_eq!(s.get("EMPTY", 7), 7);
        assert_eq!(s.required("NAME"), "");
        let wrong = s.finish().unwrap_err();
        let names: Vec<&str> = wrong.0.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["PORT", "ON", "NAME"]);
        assert!(s.effective()["TTL"].set && !s.effective()["EMPTY"].set);
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("24h"), Ok(Duration::from_secs(86400)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        for bad in ["", "5", "s", "5x", "-1s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
