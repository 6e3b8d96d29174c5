//! What an injector says of the application beside us: its probes, and where its metrics are.
//!
//! In: the JSON of `ISTIO_KUBE_APP_PROBERS` and `ISTIO_PROMETHEUS_ANNOTATIONS`. Out: [`AppProbe`]s by path and
//! [`Scrape`] targets, or what is wrong with them: as Istio's agent, we do not start then. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// One probe of the application, which is asked through us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppProbe {
    pub check: Check,
    /// `timeoutSeconds`, at least 1 s.
    pub timeout: Duration,
}

/// How the application is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    Http {
        port: u16,
        /// With a `/` first.
        path: String,
        https: bool,
        headers: Vec<(String, String)>,
    },
    Tcp {
        port: u16,
    },
    Grpc {
        port: u16,
        /// Empty: the whole server.
        service: String,
    },
}

/// A page of the application's metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrape {
    pub port: u16,
    pub path: String,
}

/// Ports of our own, where nobody finds the application.
const RESERVED: [u16; 9] = [15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090];
const PATHS: [&str; 5] = ["livez", "readyz", "startupz", "prestopz", "poststartz"];

/// `{"/app-health/CONTAINER/livez": {"httpGet": {...}, "timeoutSeconds": 1}, ...}`
pub(super) fn probes(json: &Value) -> Result<BTreeMap<String, AppProbe>, String> {
    let all = json.as_object().ok_or("expected an object of probes by path")?;
    all.iter().map(|(path, probe)| Ok((path.clone(), one(path, probe)?))).collect()
}

fn one(path: &str, probe: &Value) -> Result<AppProbe, String> {
    let words: Vec<&str> = path.split('/').collect();
    let known = matches!(words.as_slice(), ["", "app-health" | "app-lifecycle", container, word]
        if !container.is_empty() && PATHS.contains(word));
    if !known {
        return Err(format!(
            "{path}: expected /app-health/CONTAINER/livez, readyz or startupz, or /app-lifecycle/..."
        ));
    }
    let port = |of: &Value| {
        let port = of.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        port.filter(|port| *port > 0).ok_or(format!("{path}: the port must be a number from 1 to 65535"))
    };
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let given = |key: &str| probe.get(key).filter(|value| !value.is_null());
    let check = match (given("httpGet"), given("tcpSocket"), given("grpc")) {
        (Some(get), None, None) => {
            let headers = get.get("httpHeaders").and_then(Value::as_array).into_iter().flatten();
            let page = text(get, "path");
            Check::Http {
                port: port(get)?,
                path: if page.starts_with('/') { page } else { format!("/{page}") },
                https: text(get, "scheme").eq_ignore_ascii_case("https"),
                headers: headers.map(|header| (text(header, "name"), text(header, "value"))).collect(),
            }
        }
        (None, Some(socket), None) => Check::Tcp { port: port(socket)? },
        (None, None, Some(grpc)) => Check::Grpc { port: port(grpc)?, service: text(grpc, "service") },
        _ => return Err(format!("{path}: expected one of httpGet, tcpSocket and grpc")),
    };
    let seconds = probe.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or(1).max(1);
    Ok(AppProbe { check, timeout: Duration::from_secs(seconds) })
}

/// `{"scrape":"true","port":"9090","path":"/metrics"}`; the port may be a list of `port:path`, and `targets` a list of
/// both. `status` is our own port. Empty: nothing is scraped.
pub(super) fn scrapes(json: &Value, status: u16) -> Result<Vec<Scrape>, String> {
    let text = |of: &Value, key: &str| match of.get(key) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        _ => String::new(),
    };
    if text(json, "scrape") == "false" {
        return Ok(Vec::new());
    }
    let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    let default = or(text(json, "path"), "/metrics");
    let targets = json.get("targets").and_then(Value::as_array).filter(|targets| !targets.is_empty());
    let pairs: Vec<(String, String)> = match targets {
        Some(targets) => {
            targets.iter().map(|one| (text(one, "port"), or(text(one, "path"), "/metrics"))).collect()
        }
        None => {
            let list = or(text(json, "port"), "80");
            let pair = |word: &str| match word.split_once(':') {
                Some((port, path)) => (port.trim().to_owned(), or(path.trim().to_owned(), "/metrics")),
                None => (word.trim().to_owned(), default.clone()),
            };
            list.split(',').map(pair).collect()
        }
    };
    let check = |(port, path): (String, String)| match port.parse::<u16>() {
        Ok(port) if port == status => {
            Err(format!("port {port} is our own status port: the application cannot be scraped there"))
        }
        Ok(port) if RESERVED.contains(&port) => {
            Err(format!("port {port} is the proxy's, not the application's"))
        }
        Ok(port) if port > 0 => Ok(Scrape { port, path }),
        _ => Err(format!("{port:?} is no port")),
    };
    pairs.into_iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_is_scraped() {
        let of = |json: Value| {
            let found = scrapes(&json, 15020)?;
            Ok::<_, String>(
                found.into_iter().map(|one| format!("{}{}", one.port, one.path)).collect::<Vec<_>>(),
            )
        };
        assert_eq!(of(json!({"scrape": "true", "port": "9090", "path": "/m"})).unwrap(), ["9090/m"]);
        assert_eq!(of(json!({"port": "9090:/a, 9091"})).unwrap(), ["9090/a", "9091/metrics"]);
        let targets = json!({"targets": [{"port": "9090", "path": "/a"}, {"port": "9091"}]});
        assert_eq!(of(targets).unwrap(), ["9090/a", "9091/metrics"]);
        assert_eq!(of(json!({})).unwrap(), ["80/metrics"]);
        assert!(of(json!({"scrape": "false", "port": "9090"})).unwrap().is_empty());
        for (port, why) in
            [("15020", "status port"), ("15090", "proxy's"), ("http", "no port"), ("0", "no port")]
        {
            assert!(of(json!({"port": port})).unwrap_err().contains(why), "{port}");
        }
    }

    #[test]
    fn probes_by_path() {
        let read = |probe: Value| probes(&json!({"/app-health/a/livez": probe}));
        let found = read(json!({"httpGet": {"port": 8080, "path": "ready?x=1", "scheme": "HTTPS",
            "httpHeaders": [{"name": "x-a", "value": "b"}]}, "timeoutSeconds": 3}));
        let wanted = Check::Http {
            port: 8080,
            path: "/ready?x=1".into(),
            https: true,
            headers: vec![("x-a".into(), "b".into())],
        };
        let found = found.unwrap().remove("/app-health/a/livez").unwrap();
        assert_eq!((found.check, found.timeout), (wanted, Duration::from_secs(3)));
        let found = read(json!({"grpc": {"port": 9000}})).unwrap().remove("/app-health/a/livez").unwrap();
        assert_eq!(found.check, Check::Grpc { port: 9000, service: String::new() });
        assert_eq!(found.timeout, Duration::from_secs(1));
        assert!(probes(&json!({"/app-lifecycle/a/prestopz": {"tcpSocket": {"port": 1}}})).is_ok());
        assert!(read(json!({"tcpSocket": {"port": "http"}})).unwrap_err().contains("must be a number"));
        assert!(read(json!({"exec": {}})).unwrap_err().contains("expected one of"));
        assert!(probes(&json!({"/else": {"tcpSocket": {"port": 1}}})).unwrap_err().contains("/else"));
    }
}
