//! Environment variables that istiod reads and pilot does not.
//!
//! In: the process's environment. Out: one sentence for each that is set to something else than istiod's default, so
//! that nobody believes it in force. `environment.txt` lists them: name, then default. Called by `app` at the start.

/// Name and istiod's default of each, where pilot does what the default says, or where it means nothing here.
const LIST: &str = include_str!("environment.txt");

/// Variables that are set and not honoured, with their values.
pub(crate) fn unhonoured(value: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let entries = LIST.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
    let set = entries.filter_map(|(name, default)| {
        let value = value(name).filter(|value| !value.is_empty() && !same(value, default))?;
        Some((name.to_owned(), value))
    });
    set.collect()
}

/// Whether two texts are one value: `1` and `1.0`, `true` and `TRUE`, `60s` and `1m`.
fn same(a: &str, b: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    let time = |text: &str| base::settings::parse_duration(text).ok();
    a.eq_ignore_ascii_case(b)
        || number(a).is_some_and(|a| number(b) == Some(a))
        || time(a).is_some_and(|a| time(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::CommandFactory;

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn what_is_set_and_not_honoured_is_named() {
        let set: BTreeMap<&str, &str> = [
            ("PILOT_HTTP10", "true"),
            ("PILOT_ENABLE_RDS_CACHE", "TRUE"),
            ("PILOT_XDS_CACHE_INDEX_CLEAR_INTERVAL", "5000ms"),
            ("EXTERNAL_CA", ""),
            ("SHARED_MESH_CONFIG", "other"),
            ("HOME", "/"),
        ]
        .into();
        let found = unhonoured(|name| set.get(name).map(|value| (*value).to_owned()));
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PILOT_HTTP10", "SHARED_MESH_CONFIG"]);
    }

    #[test]
    fn the_list_is_sorted_and_has_nothing_that_is_honoured() {
        let names: Vec<&str> = LIST.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert!(names.is_sorted() && names.len() > 100);
        let command = Settings::command();
        let honoured = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
        let both: Vec<&str> = honoured.filter(|name| names.contains(name)).collect();
        assert!(both.is_empty(), "{both:?}");
    }
}
