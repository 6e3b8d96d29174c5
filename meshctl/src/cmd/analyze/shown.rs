//! Findings as `analyze` tells them: filtered, suppressed, as text, JSON or YAML. Pure.

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use api::{Code, Finding, Key, Kind, Severity};
use serde_json::{Value, json};

use crate::cmd::printed::BadUsage;
use crate::proxy_config::{Form, text};
use crate::render::glob;

/// Annotation on an object: codes that are not told about it, separated by commas, or `*`.
pub(super) const SUPPRESS: &str = "galley.istio.io/analyze-suppress";

/// `CODE=Kind name.namespace`; `*` stands for any text in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suppression {
    code: String,
    object: String,
}

impl std::str::FromStr for Suppression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((code, object)) if !code.is_empty() && !object.is_empty() => {
                Ok(Self { code: code.to_owned(), object: object.to_owned() })
            }
            _ => Err(format!("{text:?} is not CODE=RESOURCE, such as IST0102=Namespace default")),
        }
    }
}

impl Suppression {
    pub(super) fn covers(&self, finding: &Finding) -> bool {
        let named = |key: &Key| match key.namespace.is_empty() {
            true => format!("{} {}", key.kind, key.name),
            false => format!("{} {}.{}", key.kind, key.name, key.namespace),
        };
        let object = finding.object.as_ref().map(named).unwrap_or_default();
        codes(finding).any(|code| glob(&self.code, code)) && glob(&self.object, &object)
    }
}

/// The codes by which a finding may be named: its own, and istioctl's for all mistakes in one object.
pub(super) fn codes(finding: &Finding) -> impl Iterator<Item = &'static str> {
    let own = finding.code.id();
    let whole = match (own.starts_with("MESH"), finding.severity) {
        (true, Severity::Error) => Some(Code::SchemaValidationError.id()),
        (true, Severity::Warning) => Some(Code::SchemaWarning.id()),
        _ => None,
    };
    std::iter::once(own).chain(whole)
}

/// `info`, `warning` or `error` in any case.
pub(super) fn level(word: &str) -> Result<Severity> {
    match word.to_ascii_lowercase().as_str() {
        "info" => Ok(Severity::Info),
        "warning" | "warn" => Ok(Severity::Warning),
        "error" => Ok(Severity::Error),
        _ => Err(BadUsage(format!("{word:?} is no level: use Info, Warning or Error")).into()),
    }
}

/// As istioctl writes it.
pub(super) fn level_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "Info",
        Severity::Warning => "Warning",
        Severity::Error => "Error",
    }
}

/// `Error [IST0101] (VirtualService default/reviews reviews.yaml:7) text`, one per line.
pub(super) fn log(findings: &[Finding]) -> String {
    findings.iter().map(line).collect()
}

fn line(finding: &Finding) -> String {
    let colour = match finding.severity {
        Severity::Info => AnsiColor::Cyan,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Error => AnsiColor::Red,
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let word = level_word(finding.severity);
    let place: Vec<String> = [origin(finding), reference(finding)].into_iter().flatten().collect();
    let place = if place.is_empty() { String::new() } else { format!(" ({})", place.join(" ")) };
    let path = if finding.path.is_empty() { String::new() } else { format!("{}: ", finding.path) };
    format!("{style}{word}{style:#} [{}]{place} {path}{}\n", finding.code.id(), finding.message)
}

fn origin(finding: &Finding) -> Option<String> {
    finding.object.as_ref().map(|key| match key.kind {
        // Its name says what it is.
        Kind::Unknown => key.name.clone(),
        _ => key.to_string(),
    })
}

fn reference(finding: &Finding) -> Option<String> {
    match (finding.file.is_empty(), finding.line) {
        (true, _) => None,
        (false, 0) => Some(finding.file.clone()),
        (false, line) => Some(format!("{}:{line}", finding.file)),
    }
}

/// As a list, with istioctl's keys.
pub(super) fn structured(findings: &[Finding], form: Form) -> Result<String> {
    let list = findings.iter().map(|finding| {
        let mut entry = json!({
            "code": finding.code.id(),
            "level": level_word(finding.severity),
            "message": finding.message,
        });
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                entry[key] = Value::String(value);
            }
        };
        set("origin", origin(finding));
        set("reference", reference(finding));
        set("field", (!finding.path.is_empty()).then(|| finding.path.to_string()));
        entry
    });
    text(&Value::Array(list.collect()), form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::{Code, FieldPath};

    fn finding() -> Finding {
        Finding::new(Code::ReferencedResourceNotFound, "there is no Gateway default/gw")
            .about(Key::new(Kind::VirtualService, "default", "web"))
            .at("web.yaml", 7)
            .field(FieldPath::parse("spec.gateways[0]"))
    }

    #[test]
    fn lines_and_lists() {
        let plain = anstream::adapter::strip_str(&log(&[finding()])).to_string();
        assert_eq!(
            plain,
            "Error [IST0101] (VirtualService default/web web.yaml:7) spec.gateways[0]: there is no Gateway default/gw\n"
        );
        let list: Value = serde_json::from_str(&structured(&[finding()], Form::Json).unwrap()).unwrap();
        assert_eq!(list[0]["origin"], "VirtualService default/web");
        assert_eq!(list[0]["reference"], "web.yaml:7");
        assert_eq!(structured(&[], Form::Json).unwrap(), "[]\n");
    }

    #[test]
    fn what_is_suppressed() {
        for (text, is) in [
            ("IST0101=VirtualService web.default", true),
            ("IST0101=VirtualService web.*", true),
            ("*=*", true),
            ("IST0101=*.default", true),
            ("IST0101=DestinationRule web.default", false),
            ("IST0102=VirtualService web.default", false),
        ] {
            assert_eq!(text.parse::<Suppression>().unwrap().covers(&finding()), is, "{text}");
        }
        assert!("IST0101".parse::<Suppression>().is_err());
        assert!(level("loud").is_err());
    }
}
