//! The smaller pages of a proxy: what it was started with, its extensions, its roots, and the whole dump.

use anyhow::{Context, Result};
use serde_json::Value;

use super::dump::{Dump, Form, camel, text};
use crate::render::Table;

/// The bootstrap message; short: the versions in it.
///
/// # Errors
/// The dump has none.
pub fn bootstrap(dump: &Dump, form: Form) -> Result<String> {
    let message = dump.bootstrap().context("the dump holds no bootstrap")?;
    if form != Form::Short {
        return text(
            &serde_json::json!({"bootstrap": camel("envoy.config.bootstrap.v3.Bootstrap", message)}),
            form,
        );
    }
    let node = &message["node"];
    let or_dash =
        |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    let words = |value: &Value| value.as_str().map(str::to_owned);
    let build = &node["user_agent_build_version"];
    let version = &build["version"];
    let part = |name: &str| version[name].as_u64().unwrap_or_default();
    let numbers = version
        .is_object()
        .then(|| format!("{}.{}.{}", part("major_number"), part("minor_number"), part("patch")));
    let mut table = Table::wide(&[]);
    table.row(["Istio Version:".to_owned(), or_dash(words(&node["metadata"]["ISTIO_VERSION"]))]);
    table.row(["Istio Proxy Version:".to_owned(), or_dash(words(&build["metadata"]["revision.sha"]))]);
    table.row(["Envoy Version:".to_owned(), or_dash(numbers.or_else(|| words(&node["user_agent_version"])))]);
    Ok(table.to_string())
}

/// Extension configurations: `ECDS NAME, TYPE`.
///
/// # Errors
/// A message cannot be printed.
pub fn ecds(dump: &Dump, form: Form) -> Result<String> {
    let found = dump.extensions();
    if form != Form::Short {
        let list: Vec<Value> = found.into_iter().cloned().collect();
        return text(&Value::Array(list), form);
    }
    let mut table = Table::wide(&["ECDS NAME", "TYPE"]);
    for filter in found {
        let kind = filter["typed_config"]["@type"].as_str().unwrap_or_default();
        let kind = kind.rsplit('/').next().unwrap_or_default();
        table.row([filter["name"].as_str().unwrap_or_default(), kind]);
    }
    table.sort();
    Ok(table.to_string())
}

/// The roots that the proxy trusts in the mesh, as they stand in its secret `ROOTCA`.
pub fn roots(dump: &Dump) -> Option<String> {
    let secrets = dump.secrets();
    let (secret, _) = secrets.iter().find(|(secret, active)| *active && secret["name"] == "ROOTCA")?;
    let source = &secret["validation_context"]["trusted_ca"];
    source["inline_bytes"].as_str().or_else(|| source["inline_string"].as_str()).map(str::to_owned)
}

/// The dump as it came.
///
/// # Errors
/// It is no JSON.
pub fn whole(page: &str, form: Form) -> Result<String> {
    let value: Value = serde_json::from_str(page).context("a config dump is JSON, this is not")?;
    text(&value, form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_roots() {
        let dump = Dump::read(
            r#"{"configs": [
            {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {"node": {
              "metadata": {"ISTIO_VERSION": "1.30.0"},
              "user_agent_build_version": {"version": {"major_number": 1, "minor_number": 40}}}}},
            {"@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", "dynamic_active_secrets": [
              {"name": "ROOTCA", "secret": {"name": "ROOTCA",
                "validation_context": {"trusted_ca": {"inline_bytes": "cm9vdA=="}}}}]}]}"#,
        )
        .unwrap();
        let text = bootstrap(&dump, Form::Short).unwrap();
        let cells: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[0], ["Istio", "Version:", "1.30.0"]);
        assert_eq!(cells[1], ["Istio", "Proxy", "Version:", "-"]);
        assert_eq!(cells[2], ["Envoy", "Version:", "1.40.0"]);
        assert_eq!(roots(&dump).as_deref(), Some("cm9vdA=="));
        assert!(bootstrap(&Dump::read(r#"{"configs": []}"#).unwrap(), Form::Json).is_err());
    }
}
