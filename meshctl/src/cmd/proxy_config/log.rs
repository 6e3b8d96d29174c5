//! `proxy-config log`: the loggers of a proxy, or of all proxies of a workload.

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use super::args::LogOf;
use super::source::read;
use crate::client::{Mesh, Method, Pod};
use crate::cmd::xds::labels;
use crate::globals::Globals;
use crate::proxy_config::{Form, text};

const LEVELS: [&str; 7] = ["trace", "debug", "info", "warning", "error", "critical", "off"];
/// What a proxy starts with.
const USUAL: &str = "warning";

/// Changes levels if asked to, and shows all of them.
pub(super) fn log(of: &LogOf, levels: Option<&str>, reset: bool, globals: &Globals) -> Result<String> {
    let form = of.output.unwrap_or_default();
    let queries = match (reset, levels) {
        (true, _) => vec![format!("level={USUAL}")],
        (false, Some(levels)) => queries(levels)?,
        (false, None) => Vec::new(),
    };
    if let Some(file) = &of.file {
        let page = read(file)?;
        return if form == Form::Short { Ok(page) } else { text(&loggers(&page), form) };
    }
    let mesh = Mesh::find(globals)?.admin_port(of.proxy_admin_port);
    let pods = match (&of.selector, &of.pod) {
        (Some(selector), _) => mesh.proxies_with(&labels(selector)?)?,
        (None, pod) => mesh.proxies(pod.as_deref().unwrap_or_default())?,
    };
    let mut pages = Vec::new();
    for pod in pods {
        let page = of_pod(&mesh, &pod, &queries)?;
        pages.push((pod.full(), page));
    }
    match (form, pages.as_slice()) {
        (Form::Short, _) => Ok(pages.iter().map(|(pod, page)| format!("{pod}:\n{page}")).collect()),
        (form, [(_, page)]) => text(&loggers(page), form),
        (form, _) => {
            let all = pages.iter().map(|(pod, page)| (pod.clone(), loggers(page)));
            text(&Value::Object(all.collect()), form)
        }
    }
}

fn of_pod(mesh: &Mesh, pod: &Pod, queries: &[String]) -> Result<String> {
    let mut page = String::new();
    for query in queries {
        page = mesh.admin(pod, Method::Post, &format!("/logging?{query}"))?;
    }
    if queries.is_empty() { mesh.admin(pod, Method::Post, "/logging") } else { Ok(page) }
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
