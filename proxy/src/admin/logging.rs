//! `/logging`: the log levels, shown and changed.
//!
//! In: `level=` for all scopes, `paths=scope:level,...` or `scope=level` for some. Out: the levels in force, in
//! Envoy's form. Scopes are the modules of this program and the libraries that have spoken; Envoy's own loggers are
//! taken, too, and have nothing to say at any level. Another name is an error, as there.

use std::sync::Arc;

use base::admin::{Request, Response, Routes};
use base::telemetry::Levels;
use http::StatusCode;

use super::pages::reading;
use crate::process::Process;

/// Modules of this program: what they say has their name as its scope.
const MODULES: &[&str] = &[
    "admin",
    "app",
    "ask",
    "balance",
    "cluster",
    "compile",
    "config",
    "dice",
    "dns",
    "fail",
    "filter",
    "h1",
    "http",
    "identity",
    "intercept",
    "io",
    "listen",
    "observe",
    "overload",
    "pool",
    "process",
    "rehearse",
    "router",
    "settings",
    "status",
    "tcp",
    "tls",
    "upstream",
    "worker",
    "xds",
];

/// Loggers of Envoy 1.40, which people and scripts know by heart.
const ENVOY: &[&str] = &[
    "a2a",
    "admin",
    "ai_protocol_manager",
    "alternate_protocols_cache",
    "assert",
    "aws",
    "backtrace",
    "basic_auth",
    "cache_filter",
    "client",
    "compression",
    "config",
    "conn_handler",
    "connection",
    "credential_injector",
    "decompression",
    "dns",
    "dubbo",
    "dynamic_modules",
    "envoy_bug",
    "ext_authz",
    "ext_proc",
    "file",
    "filter",
    "forward_proxy",
    "geolocation",
    "golang",
    "grpc",
    "happy_eyeballs",
    "hc",
    "health_checker",
    "http",
    "http2",
    "hystrix",
    "init",
    "io",
    "ip_tagging",
    "json_rpc",
    "jwt",
    "kafka",
    "key_value_store",
    "local_rate_limit",
    "lua",
    "main",
    "matcher",
    "mcp",
    "misc",
    "mongo",
    "multi_connection",
    "notification",
    "oauth2",
    "pool",
    "quic",
    "quic_stream",
    "rate_limit_quota",
    "rbac",
    "rds",
    "redis",
    "rocketmq",
    "router",
    "runtime",
    "secret",
    "sse",
    "stats",
    "stats_sinks",
    "tap",
    "testing",
    "thrift",
    "tracing",
    "udp",
    "upstream",
    "wasm",
    "websocket",
];

pub(super) fn routes(routes: Routes, process: &Arc<Process>) -> Routes {
    routes.post("/logging", "query/change logging levels", reading(process, answer))
}

fn answer(process: &Process, request: &Request) -> Response {
    let Some(levels) = &process.levels else {
        return Response::status(StatusCode::SERVICE_UNAVAILABLE, "logging is not set up by this program\n");
    };
    match change(levels, request) {
        Ok(()) => {
            let lines = levels.list().into_iter().map(|(scope, level)| {
                // Envoy's word for it.
                let level = if level == "warn" { "warning" } else { level };
                format!("  {scope}: {level}\n")
            });
            Response::text(format!("active loggers:\n{}", lines.collect::<String>()))
        }
        Err(error) => Response::status(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

fn change(levels: &Levels, request: &Request) -> Result<(), String> {
    for (key, value) in &request.query {
        match key.as_str() {
            "level" => levels.set("all", value)?,
            "paths" => {
                for pair in value.split(',').filter(|pair| !pair.is_empty()) {
                    let (scope, level) =
                        pair.split_once(':').ok_or_else(|| format!("{pair:?}: expected scope:level"))?;
                    set(levels, scope, level)?;
                }
            }
            scope => set(levels, scope, value)?,
        }
    }
    Ok(())
}

fn set(levels: &Levels, scope: &str, level: &str) -> Result<(), String> {
    let known = ["all", "default"].contains(&scope)
        || MODULES.contains(&scope)
        || ENVOY.contains(&scope)
        || levels.list().contains_key(scope);
    if !known {
        return Err(format!("unknown logger name {scope:?}; POST /logging lists those that have spoken"));
    }
    levels.set(scope, level)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_module_is_a_logger() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let entries = std::fs::read_dir(source).unwrap().map(|entry| entry.unwrap().path());
        let names = entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
        let modules: BTreeSet<String> = names.filter(|name| name != "lib" && name != "main").collect();
        assert_eq!(modules, MODULES.iter().map(|name| (*name).to_owned()).collect());
    }

    #[test]
    fn a_name_that_nobody_has_is_an_error() {
        let levels = Levels::new("info", &["proxy"]).unwrap();
        for name in ["http", "rbac", "xds", "all", "default"] {
            assert_eq!(set(&levels, name, "debug"), Ok(()), "{name}");
        }
        assert!(set(&levels, "htpp", "debug").unwrap_err().contains("unknown logger name \"htpp\""));
        assert!(!levels.list().contains_key("htpp"));
        assert!(set(&levels, "http", "loud").is_err());
    }
}
