//! Values of annotations that the injector reads, checked before anything is made of them.
//!
//! In: a pod. Out: nothing, or the first annotation whose value means nothing, by name, with what it may be. Called by
//! `run`; the pod is refused, since a proxy that redirects something else than was said is worse than none.

use std::net::IpAddr;

use serde_json::Value;

use super::pod::{strings, truth};

type Check = fn(&str) -> Result<(), String>;

/// Annotation and what its value must be.
const CHECKS: &[(&str, Check)] = &[
    ("sidecar.istio.io/interceptionMode", |value| one_of(value, &["REDIRECT", "TPROXY", "NONE"])),
    ("sidecar.istio.io/nativeSidecar", |value| boolean(value)),
    ("sidecar.istio.io/enableCoreDump", |value| boolean(value)),
    ("sidecar.istio.io/rewriteAppHTTPProbers", |value| boolean(value)),
    ("sidecar.istio.io/userVolume", json_mapping),
    ("sidecar.istio.io/userVolumeMount", json_mapping),
    ("sidecar.istio.io/proxyCPU", quantity),
    ("sidecar.istio.io/proxyCPULimit", quantity),
    ("sidecar.istio.io/proxyMemory", quantity),
    ("sidecar.istio.io/proxyMemoryLimit", quantity),
    ("sidecar.istio.io/logLevel", |value| one_of(value, LEVELS)),
    ("prometheus.istio.io/merge-metrics", |value| boolean(value)),
    ("status.sidecar.istio.io/port", port_or_zero),
    ("readiness.status.sidecar.istio.io/initialDelaySeconds", number),
    ("readiness.status.sidecar.istio.io/periodSeconds", number),
    ("readiness.status.sidecar.istio.io/failureThreshold", number),
    ("readiness.status.sidecar.istio.io/applicationPorts", ports),
    (
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
        |value| if value == "*" { Ok(()) } else { ranges(value) },
    ),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", ranges),
    (
        "traffic.sidecar.istio.io/includeInboundPorts",
        |value| if value == "*" { Ok(()) } else { ports(value) },
    ),
    (
        "traffic.sidecar.istio.io/excludeInboundPorts",
        |value| if value == "*" { Ok(()) } else { ports(value) },
    ),
    (
        "traffic.sidecar.istio.io/includeOutboundPorts",
        |value| if value == "*" { Ok(()) } else { ports(value) },
    ),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", ports),
];

const LEVELS: &[&str] = &["trace", "debug", "info", "warning", "error", "critical", "off"];

/// Checks all of them.
pub(super) fn check(pod: &Value) -> Result<(), String> {
    for (name, value) in strings(pod, "annotations") {
        if let Some((_, check)) = CHECKS.iter().find(|(known, _)| *known == name) {
            check(value.trim())
                .map_err(|error| format!("invalid value {value:?} for annotation {name}: {error}"))?;
        }
    }
    Ok(())
}

fn one_of(value: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&value) { Ok(()) } else { Err(format!("must be one of {}", words.join(", "))) }
}

fn boolean(value: &str) -> Result<(), String> {
    truth(value).map(drop).ok_or_else(|| "must be true or false".to_owned())
}

fn number(value: &str) -> Result<(), String> {
    value.parse::<u32>().map(drop).map_err(|_| "must be a number from 0".to_owned())
}

fn port_or_zero(value: &str) -> Result<(), String> {
    value.parse::<u16>().map(drop).map_err(|_| "must be a port from 0 to 65535, 0 is none".to_owned())
}

fn json_mapping(value: &str) -> Result<(), String> {
    match serde_json::from_str(value) {
        Ok(Value::Object(_)) => Ok(()),
        Ok(_) => Err("must be a JSON object: name to volume".to_owned()),
        Err(error) => Err(format!("must be a JSON object: {error}")),
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn ports(value: &str) -> Result<(), String> {
    words(value).try_for_each(|word| match word.parse::<u16>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{word:?} is not a port from 0 to 65535")),
    })
}

fn ranges(value: &str) -> Result<(), String> {
    words(value).try_for_each(|word| {
        let (address, length) =
            word.split_once('/').ok_or_else(|| format!("{word:?} is not in the form ADDRESS/LENGTH"))?;
        let address: IpAddr =
            address.parse().map_err(|_| format!("{word:?} does not begin with an address"))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        match length.parse::<u8>() {
            Ok(length) if length <= longest => Ok(()),
            _ => Err(format!("the length of {word:?} must be 0 to {longest}")),
        }
    })
}

/// As Kubernetes writes amounts: digits, perhaps a point, and a unit.
fn quantity(value: &str) -> Result<(), String> {
    const UNITS: &[&str] =
        &["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let digits = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let amount = value.strip_suffix(digits).unwrap_or_default();
    if amount.parse::<f64>().is_ok() && UNITS.contains(&digits) {
        return Ok(());
    }
    Err("must be an amount such as 100m or 128Mi".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_values_are_named() {
        let told = |name: &str, value: &str| check(&json!({"metadata": {"annotations": {name: value}}}));
        for (name, right, wrong, why) in [
            (
                "sidecar.istio.io/interceptionMode",
                "TPROXY",
                "tproxy",
                "must be one of REDIRECT, TPROXY, NONE",
            ),
            ("status.sidecar.istio.io/port", "0", "70000", "must be a port"),
            (
                "traffic.sidecar.istio.io/includeOutboundIPRanges",
                "*",
                "10.0.0.0",
                "not in the form ADDRESS/LENGTH",
            ),
            (
                "traffic.sidecar.istio.io/excludeOutboundIPRanges",
                "10.0.0.0/8,fd00::/64",
                "10.0.0.0/33",
                "0 to 32",
            ),
            ("traffic.sidecar.istio.io/excludeInboundPorts", "1, 2", "http", "\"http\" is not a port"),
            ("readiness.status.sidecar.istio.io/periodSeconds", "5", "5s", "must be a number"),
            ("sidecar.istio.io/proxyMemory", "1.5Gi", "lots", "must be an amount"),
            ("sidecar.istio.io/userVolume", "{}", "[]", "must be a JSON object"),
            ("sidecar.istio.io/nativeSidecar", "true", "yes", "must be true or false"),
        ] {
            assert_eq!(told(name, right), Ok(()), "{name}");
            let error = told(name, wrong).unwrap_err();
            assert!(error.contains(name) && error.contains(why), "{error}");
        }
        assert_eq!(told("example.com/port", "x"), Ok(()));
    }
}
