//! `proxy-config log`: the loggers of a proxy.

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use super::source::From;
use crate::client::Method;
use crate::proxy_config::{Form, text};

const LEVELS: [&str; 7] = ["trace", "debug", "info", "warning", "error", "critical", "off"];
/// What a proxy starts with.
const USUAL: &str = "warning";

/// Changes levels if asked to, and shows all of them.
pub(super) fn log(from: &From, levels: Option<&str>, reset: bool, form: Form) -> Result<String> {
    let mut page = String::new();
    let queries = match (reset, levels) {
        (true, _) => vec![format!("level={USUAL}")],
        (false, Some(levels)) => queries(levels)?,
        (false, None) => Vec::new(),
    };
    for query in &queries {
        page = from.page(Method::Post, &format!("/logging?{query}"))?;
    }
    if queries.is_empty() {
        page = from.page(Method::Post, "/logging")?;
    }
    match form {
        Form::Short => Ok(page),
        form => text(&loggers(&page), form),
    }
}

/// One request for each `[LOGGER:]LEVEL`; those for all loggers first, so that they do not undo the others.
fn queries(levels: &str) -> Result<Vec<String>> {
    let mut queries = Vec::new();
    for word in levels.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (logger, level) = word.split_once([':', '=']).unwrap_or(("", word));
        if !LEVELS.contains(&level) {
            bail!("{level:?} is no log level: use {}", LEVELS.join(", "));
        }
        if logger.is_empty() || logger == "all" {
            queries.insert(0, format!("level={level}"));
        } else {
            queries.push(format!("{logger}={level}"));
        }
    }
    Ok(queries)
}

/// `  name: level` lines as an object.
fn loggers(page: &str) -> Value {
    let lines = page.lines().filter_map(|line| line.split_once(':'));
    let pairs = lines.map(|(name, level)| (name.trim().to_owned(), level.trim().to_owned()));
    Value::Object(
        pairs.filter(|(_, level)| !level.is_empty()).map(|(k, v)| (k, v.into())).collect::<Map<_, _>>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_become_requests() {
        assert_eq!(
            queries("http:debug, info,rbac:trace").unwrap(),
            ["level=info", "http=debug", "rbac=trace"]
        );
        assert!(queries("loud").unwrap_err().to_string().contains("trace, debug"));
    }

    #[test]
    fn the_page_is_a_map() {
        let map = loggers("active loggers:\n  admin: warning\n  http: debug\n");
        assert_eq!(map, serde_json::json!({"admin": "warning", "http": "debug"}));
    }
}
