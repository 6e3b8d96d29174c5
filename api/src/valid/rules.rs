//! Rules that several kinds share: hosts, ports, durations, percentages, expressions, selectors, visibility.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::At;
use super::meta::{is_label, labels};
use crate::finding::Code;
use crate::host;
use crate::selector::{TargetRef, WorkloadSelector};
use crate::text::StringMatch;
use crate::time::Duration;

/// A text that must be set.
pub(super) fn required(text: &str, at: &At<'_>, what: &str) -> bool {
    at.must(!text.is_empty(), Code::Required, || format!("set {what}"))
}

/// A list that must not be empty.
pub(super) fn some<T>(items: &[T], at: &At<'_>, what: &str) -> bool {
    at.must(!items.is_empty(), Code::Required, || format!("add at least one {what}"))
}

/// 1 to 65535.
pub(super) fn port(number: u32, at: &At<'_>) -> bool {
    at.must((1..=65535).contains(&number), Code::BadPort, || format!("{number} is no port; use 1 to 65535"))
}

/// 1 to 65535, or 0 where nothing was said.
pub(super) fn port_or_none(number: u32, at: &At<'_>) {
    if number != 0 {
        port(number, at);
    }
}

/// As `port`, for signed fields.
pub(super) fn port_i32(number: i32, at: &At<'_>) -> bool {
    port(u32::try_from(number).unwrap_or(0), at)
}

/// A DNS name without wildcard, or an address.
pub(super) fn host(name: &str, at: &At<'_>) {
    let fits = host::is_dns_name(name) || is_ip(name);
    at.must(fits, Code::BadHost, || format!("{name:?} is no host name; wildcards cannot be used here"));
}

/// A DNS name that may start with `*.`, or an address.
pub(super) fn wildcard_host(name: &str, at: &At<'_>) {
    let fits = host::is_wildcard_dns_name(name) || is_ip(name);
    at.must(fits, Code::BadHost, || {
        format!("{name:?} is no host name; a wildcard can only be its first label, as in *.example.com")
    });
}

pub(super) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// An address or a network.
pub(super) fn cidr(text: &str, at: &At<'_>) {
    let fits = is_ip(text) || text.parse::<ipnet::IpNet>().is_ok();
    at.must(fits, Code::BadAddress, || format!("{text:?} is no address or network such as 10.0.0.0/8"));
}

/// A regular expression that compiles.
pub(super) fn regex(pattern: &str, at: &At<'_>) {
    if let Err(error) = regex::Regex::new(pattern) {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        at.tell(Code::BadRegex, format!("the expression does not compile: {reason}"));
    }
}

/// The expression of a matcher, if it is one.
pub(super) fn string_match(matcher: &StringMatch, at: &At<'_>) {
    if let StringMatch::Regex(pattern) = matcher {
        at.key("regex").must(!pattern.is_empty(), Code::BadRegex, || "set an expression".to_owned());
        regex(pattern, &at.key("regex"));
    }
}

/// At least one millisecond.
pub(super) fn span(duration: Option<Duration>, at: &At<'_>) {
    if let Some(duration) = duration {
        at.must(duration >= Duration::from_millis(1), Code::BadDuration, || {
            format!("{duration} is too short; use at least 1ms")
        });
    }
}

/// Zero, or at least one millisecond.
pub(super) fn span_or_zero(duration: Option<Duration>, at: &At<'_>) {
    if duration.is_some_and(|d| !d.is_zero()) {
        span(duration, at);
    }
}

/// 0 to 100.
pub(super) fn percent(value: f64, at: &At<'_>) {
    at.must((0.0..=100.0).contains(&value), Code::OutOfRange, || {
        format!("{value} is no percentage; use 0 to 100")
    });
}

/// Zero or more.
pub(super) fn not_negative(value: i32, at: &At<'_>) {
    at.must(value >= 0, Code::OutOfRange, || format!("{value} is negative; use 0 or more"));
}

/// Inclusive range.
pub(super) fn within(value: i64, low: i64, high: i64, at: &At<'_>) -> bool {
    at.must((low..=high).contains(&value), Code::OutOfRange, || {
        format!("{value} is out of range; use {low} to {high}")
    })
}

/// Entries that must differ.
pub(super) fn unique<'a>(items: impl IntoIterator<Item = &'a str>, at: &At<'_>, what: &str) {
    let mut seen = BTreeSet::new();
    for (index, item) in items.into_iter().enumerate() {
        if !item.is_empty() {
            at.index(index)
                .must(seen.insert(item), Code::Duplicate, || format!("{what} {item:?} stands twice"));
        }
    }
}

/// At most one of the named fields may be set; gives how many are.
pub(super) fn exclusive(fields: &[(&str, bool)], at: &At<'_>) -> usize {
    let set: Vec<_> = fields.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    if set.len() > 1 {
        at.tell(Code::Exclusive, format!("{} exclude each other; keep one of them", set.join(" and ")));
    }
    set.len()
}

/// Exactly one of the named fields must be set.
pub(super) fn exactly_one(fields: &[(&str, bool)], at: &At<'_>) {
    if exclusive(fields, at) == 0 {
        let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        at.tell(Code::Required, format!("set one of {}", names.join(", ")));
    }
}

/// `exportTo`: `.`, `*`, `~` or namespaces.
pub(super) fn export_to(values: &[String], at: &At<'_>) {
    unique(values.iter().map(String::as_str), at, "namespace");
    at.each(values, |at, value| {
        let fits = matches!(value.as_str(), "." | "*" | "~") || is_label(value);
        at.must(fits, Code::BadValue, || format!("{value:?} is no namespace; use a name, '.', '*' or '~'"));
    });
    for alone in ["*", "~"] {
        if values.len() > 1 && values.iter().any(|v| v == alone) {
            at.tell(Code::Exclusive, format!("{alone:?} cannot be combined with others"));
        }
    }
}

/// Labels that select workloads.
pub(super) fn selector(selector: Option<&WorkloadSelector>, at: &At<'_>) {
    if let Some(selector) = selector {
        let at = at.key("matchLabels");
        labels(&selector.match_labels, &at);
        for value in selector.match_labels.values().filter(|value| value.contains('*')) {
            at.tell(Code::BadLabel, format!("{value:?}: wildcards cannot be used in a selector"));
        }
    }
}

/// What a policy is attached to: a selector or references, not both.
pub(super) fn attachment(
    workloads: Option<&WorkloadSelector>,
    target_ref: Option<&TargetRef>,
    target_refs: &[TargetRef],
    at: &At<'_>,
) {
    selector(workloads, &at.key("selector"));
    let fields = [
        ("selector", workloads.is_some()),
        ("targetRef", target_ref.is_some()),
        ("targetRefs", !target_refs.is_empty()),
    ];
    exclusive(&fields, at);
    if let Some(target) = target_ref {
        at.key("targetRef").tell(Code::Deprecated, "targetRef is deprecated; use targetRefs");
        target_rules(target, &at.key("targetRef"));
    }
    let refs = at.key("targetRefs");
    refs.must(target_refs.len() <= 16, Code::OutOfRange, || "at most 16 references are allowed".to_owned());
    refs.each(target_refs, |at, target| target_rules(target, at));
}

fn target_rules(target: &TargetRef, at: &At<'_>) {
    required(&target.name, &at.key("name"), "the name of the object");
    let known = matches!(
        (target.group.as_str(), target.kind.as_str()),
        ("gateway.networking.k8s.io", "Gateway" | "GatewayClass")
            | ("" | "core", "Service")
            | ("networking.istio.io", "ServiceEntry")
    );
    at.must(known, Code::BadReference, || {
        format!(
            "cannot attach to {} of group {:?}; use Gateway, GatewayClass, Service or ServiceEntry",
            target.kind, target.group
        )
    });
    at.must(target.namespace.is_empty(), Code::BadReference, || {
        "references to other namespaces are not allowed; leave namespace out".to_owned()
    });
}
