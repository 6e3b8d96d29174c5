//! Whether settings have the form that they must have: mappings, lists, numbers, truth values; and the mesh settings.
//!
//! In: a spec, values beside the chart's defaults, rendered objects. Out: lines, each with the path of a setting and what is
//! wrong with it. Called by `installation` before and after rendering, since templates only say that something failed.

use api::{Code, Findings, Severity};
use serde_json::Value;

/// What is wrong with the form of a spec itself.
pub(super) fn of_spec(spec: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for field in ["profile", "hub", "tag", "revision", "namespace"] {
        check(&Value::from(""), &spec[field], field, &mut wrong);
    }
    let mapping = || Value::Object(serde_json::Map::new());
    for field in ["values", "meshConfig", "components"] {
        check(&mapping(), &spec[field], field, &mut wrong);
    }
    for field in ["base", "pilot", "cni", "ztunnel"] {
        component(&spec["components"][field], &format!("components.{field}"), &mut wrong);
    }
    for field in ["ingressGateways", "egressGateways"] {
        let (list, path) = (&spec["components"][field], format!("components.{field}"));
        check(&Value::Array(Vec::new()), list, &path, &mut wrong);
        for (index, entry) in list.as_array().into_iter().flatten().enumerate() {
            component(entry, &format!("{path}[{index}]"), &mut wrong);
        }
    }
    wrong
}

fn component(given: &Value, path: &str, wrong: &mut Vec<String>) {
    let mapping = Value::Object(serde_json::Map::new());
    check(&mapping, given, path, wrong);
    check(&Value::from(true), &given["enabled"], &format!("{path}.enabled"), wrong);
    check(&Value::from(""), &given["name"], &format!("{path}.name"), wrong);
    check(&mapping, &given["k8s"], &format!("{path}.k8s"), wrong);
}

/// What is wrong with the form of values, compared with the chart's defaults.
pub(super) fn of_values(given: &Value, defaults: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    compare(defaults, given, "values", &mut wrong);
    // Another way to write the same.
    compare(defaults, &given["pilot"], "values.pilot", &mut wrong);
    wrong
}

/// What a chart complains about, with what was probably meant where it does not know a value.
pub(super) fn hinted(text: &str, defaults: &Value) -> String {
    let hint = |line: &str| {
        let path = line.strip_prefix("value ")?.strip_suffix(" is not known")?;
        let (above, leaf) = path.rsplit_once('.').unwrap_or(("", path));
        // Another way to write the same.
        let above = above.strip_prefix("pilot").unwrap_or(above).trim_start_matches('.');
        let pointer = if above.is_empty() { String::new() } else { format!("/{}", above.replace('.', "/")) };
        let known = defaults.pointer(&pointer)?.as_object()?.keys().map(String::as_str);
        api::de::nearest(known, leaf).map(|near| format!("{line}; did you mean {near}?"))
    };
    text.lines().map(|line| hint(line).unwrap_or_else(|| line.to_owned())).collect::<Vec<_>>().join("\n")
}

fn compare(usual: &Value, given: &Value, path: &str, wrong: &mut Vec<String>) {
    check(usual, given, path, wrong);
    let (Some(usual), Some(given)) = (usual.as_object(), given.as_object()) else { return };
    for (key, value) in given {
        if let Some(usual) = usual.get(key) {
            compare(usual, value, &format!("{path}.{key}"), wrong);
        }
    }
}

/// One setting beside one of the right form.
fn check(usual: &Value, given: &Value, path: &str, wrong: &mut Vec<String>) {
    let form = match (usual, given) {
        (Value::Null, _) | (_, Value::Null) => return,
        (Value::Object(_), Value::Object(_)) | (Value::Array(_), Value::Array(_)) => return,
        (Value::Bool(_), Value::Bool(_)) | (Value::Number(_), Value::Number(_)) => return,
        // A version such as 1.29 is a number to YAML.
        (Value::String(_), Value::String(_) | Value::Number(_)) => return,
        (Value::Object(_), _) => "a mapping",
        (Value::Array(_), _) => "a list",
        (Value::Bool(_), _) => "true or false",
        (Value::Number(_), _) => "a number",
        (Value::String(_), _) => "text",
    };
    wrong.push(format!("{path} is {given}, and must be {form}"));
}

/// What is wrong with the mesh settings among rendered objects, and what of them has no effect.
pub(super) fn of_mesh(objects: &[Value]) -> (Vec<String>, Vec<String>) {
    let texts = objects
        .iter()
        .filter(|object| object["kind"] == "ConfigMap")
        .filter_map(|map| map["data"]["mesh"].as_str());
    let (mut wrong, mut idle) = (Vec::new(), Vec::new());
    for text in texts {
        let mut findings = Findings::new();
        let config = api::mesh::mesh_config("", text, &mut findings);
        for finding in findings.iter() {
            let line = format!("meshConfig.{}: {}", finding.path, finding.message);
            // istiod ignores fields that it does not know; whoever installs wants to hear of them.
            let refused = finding.severity == Severity::Error || finding.code == Code::UnknownField;
            if refused { wrong.push(line) } else { idle.push(line) }
        }
        let unhonoured = api::honoured::unhonoured_mesh(&config, "");
        idle.extend(
            unhonoured.iter().map(|finding| format!("meshConfig.{}: {}", finding.path, finding.message)),
        );
    }
    (wrong, idle)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_forms_are_named() {
        let spec = json!({"profile": ["demo"], "tag": 1.29, "components": {"pilot": 1, "ingressGateways": [{"enabled": "yess"}]}});
        assert_eq!(
            of_spec(&spec),
            [
                "profile is [\"demo\"], and must be text",
                "components.pilot is 1, and must be a mapping",
                "components.ingressGateways[0].enabled is \"yess\", and must be true or false",
            ]
        );
        let defaults = json!({"env": {}, "autoscaleMin": 1, "tolerations": [], "x": null, "global": {"proxy": {"resources": {}}}});
        let given = json!({"pilot": {"env": "x", "autoscaleMin": "many"}, "tolerations": {}, "x": 1, "global": {"proxy": {"resources": 5}}});
        assert_eq!(
            of_values(&given, &defaults),
            [
                "values.tolerations is {}, and must be a list",
                "values.global.proxy.resources is 5, and must be a mapping",
                "values.pilot.env is \"x\", and must be a mapping",
                "values.pilot.autoscaleMin is \"many\", and must be a number",
            ]
        );
    }

    #[test]
    fn values_that_were_meant() {
        let defaults = json!({"autoscaleMin": 1, "global": {"hub": "", "proxy": {"resources": {}}}});
        for (text, told) in [
            (
                "value pilot.autoscaleMn is not known",
                "value pilot.autoscaleMn is not known; did you mean autoscaleMin?",
            ),
            (
                "chart x:\nvalue global.proxy.resource is not known",
                "chart x:\nvalue global.proxy.resource is not known; did you mean resources?",
            ),
            ("value global.nonsense is not known", "value global.nonsense is not known"),
            ("value global.hub is not honoured", "value global.hub is not honoured"),
        ] {
            assert_eq!(hinted(text, &defaults), told);
        }
    }

    #[test]
    fn mesh_settings_are_read_as_istiod_reads_them() {
        let map = |mesh: &str| vec![json!({"kind": "ConfigMap", "data": {"mesh": mesh}})];
        let (wrong, _) = of_mesh(&map("accesslogFile: /dev/stdout\nenableTracing: sure\n"));
        assert!(
            wrong.iter().any(|line| line.starts_with("meshConfig.accesslogFile: ")) && wrong.len() == 2,
            "{wrong:?}"
        );
        assert_eq!(of_mesh(&map("accessLogFile: /dev/stdout\n")), (Vec::new(), Vec::new()));
    }
}
