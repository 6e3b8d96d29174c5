//! Whether an object may be written: the rules that `meshctl validate` applies, asked by the API server.
//!
//! In: a review. Out: no, with every field that is wrong and what to do; or yes, with warnings for what is accepted and
//! does not do what it seems to say. Objects that are refused change nothing: the old one stays in force. Called by `server`.

use api::{Finding, Severity};
use serde_json::Value;

use super::review::{Asked, Verdict};
use super::stats::{ObjectLabels, Validations};

/// An object with this annotation is refused whatever it is: how a control plane finds out that it is asked.
pub(super) const ALWAYS_REJECT: &str = "internal.istio.io/webhook-always-reject";

/// Judges one object.
pub(super) fn review(asked: &Asked, counted: &Validations) -> Verdict {
    let object = &asked.object;
    // Of what is deleted there is only the old form, which nobody asks about.
    if !object.is_object() {
        return Verdict::Allowed(Vec::new());
    }
    let (group, version) = split(object["apiVersion"].as_str().unwrap_or_default());
    let resource = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let labels = |reason: &str| ObjectLabels {
        group: group.to_owned(),
        version: version.to_owned(),
        resource: resource.clone(),
        reason: reason.to_owned(),
    };
    if object["metadata"]["annotations"].get(ALWAYS_REJECT).is_some() {
        return Verdict::Refused("configuration is invalid: it asks to be refused".to_owned());
    }
    let (errors, warnings) = judge(object.clone());
    if errors.is_empty() {
        counted.passed.get_or_create(&labels("")).inc();
        return Verdict::Allowed(warnings);
    }
    counted.failed.get_or_create(&labels("invalid_resource")).inc();
    let text = format!("configuration is invalid: {}", errors.join("; "));
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    tracing::info!(kind = resource, name, namespace = asked.namespace, text, "object refused");
    Verdict::Refused(text)
}

fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// What is wrong with an object, and what is only worth a warning.
fn judge(object: Value) -> (Vec<String>, Vec<String>) {
    let parsed = api::parse::from_value(object);
    let mut findings = parsed.findings;
    for object in &parsed.objects {
        findings.extend(api::honoured::told(object));
    }
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for finding in &findings {
        match finding.severity {
            Severity::Error => errors.push(said(finding)),
            Severity::Warning => warnings.push(said(finding)),
            Severity::Info => {}
        }
    }
    (errors, warnings)
}

/// The object is known to who reads it; the field is not.
fn said(finding: &Finding) -> String {
    if finding.path.is_empty() {
        finding.message.clone()
    } else {
        format!("{}: {}", finding.path, finding.message)
    }
}

#[cfg(test)]
mod tests {
    use base::metrics::Metrics;
    use serde_json::json;

    use super::*;

    fn judged(object: &Value) -> Verdict {
        let review = json!({"request": {"uid": "u", "namespace": "n", "object": object}});
        let asked = Asked::read(review.to_string().as_bytes()).unwrap();
        super::review(&asked, &Validations::new(&Metrics::new()))
    }

    fn virtual_service(http: &Value) -> Value {
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "v", "namespace": "n"},
            "spec": {"hosts": ["a.example.com"], "http": http}})
    }

    #[test]
    fn errors_name_the_field() {
        let wrong =
            json!([{"match": [{"uri": {"regex": "["}}], "route": [{"destination": {"host": "h"}}]}, {}]);
        let Verdict::Refused(text) = judged(&virtual_service(&wrong)) else { panic!("it is accepted") };
        assert!(text.starts_with("configuration is invalid: spec.http[0].match[0].uri.regex: "), "{text}");
        assert!(text.contains("; spec.http[1]"), "{text}");
        let right = json!([{"route": [{"destination": {"host": "h"}}]}]);
        assert!(
            matches!(judged(&virtual_service(&right)), Verdict::Allowed(warnings) if warnings.is_empty())
        );
    }

    #[test]
    fn what_is_not_honoured_is_a_warning() {
        let http = json!([{"match": [{"headers": {"@request.auth.claims.sub": {"exact": "x"}}}],
            "route": [{"destination": {"host": "h"}}]}]);
        let Verdict::Allowed(warnings) = judged(&virtual_service(&http)) else { panic!("it is refused") };
        assert!(warnings.iter().any(|text| text.contains("spec.http[0].match[0].headers")), "{warnings:?}");
    }

    #[test]
    fn what_asks_to_be_refused_is() {
        let mut object = virtual_service(&json!([{"route": [{"destination": {"host": "h"}}]}]));
        object["metadata"]["annotations"] = json!({ALWAYS_REJECT: "true"});
        assert!(matches!(judged(&object), Verdict::Refused(_)));
    }
}
