//! Telemetry objects -> levels of what is told about traffic.
//!
//! Comes in: the world and the mesh settings with their providers. Goes out: `Telemetries`. Every provider that is
//! named and not there, or not of a kind that is honoured, is a finding.

use std::collections::BTreeMap;

use api::telemetry::{self as written, CustomTag, Telemetry, WorkloadMode};
use api::{Code, Findings, Object};

use super::mesh::{Mesh, Provider, Tag, TagValue, hundredths};
use super::note::note;
use super::telemetry::{Chosen, Level, Logging, Sides, Spans, Telemetries};
use crate::world::World;

/// Reads all Telemetry objects.
pub(super) fn resolve(world: &World, mesh: &Mesh, findings: &mut Findings) -> Telemetries {
    let mut out = Telemetries {
        default: mesh.observe.clone(),
        root: mesh.root_namespace.clone(),
        ..Default::default()
    };
    for object in world.by_age::<Telemetry>() {
        let spec = &object.spec;
        if spec.target_ref.is_some() || !spec.target_refs.is_empty() {
            // Named by the list of what is not honoured.
            continue;
        }
        let namespace = object.meta.namespace.clone();
        let labels = spec.selector.as_ref().map(|s| &s.match_labels).filter(|l| !l.is_empty());
        match labels {
            Some(labels) => {
                let labels = labels.clone();
                if out.workloads.iter().any(|c| c.namespace == namespace && c.labels == labels) {
                    let text = "an older Telemetry already chooses these workloads, which wins";
                    note(
                        findings,
                        object,
                        "spec.selector",
                        Code::ConflictingTelemetryWorkloadSelectors,
                        text,
                    );
                    continue;
                }
                out.workloads.push(Chosen { namespace, labels, level: level(object, mesh, findings) });
            }
            None if out.namespaces.contains_key(&namespace) => {
                let text = format!("an older Telemetry without selector already holds for {namespace}");
                let code = Code::MultipleTelemetriesWithoutWorkloadSelectors;
                note(findings, object, "metadata.name", code, text);
            }
            None => drop(out.namespaces.insert(namespace, level(object, mesh, findings))),
        }
    }
    out
}

fn level(object: &Object<Telemetry>, mesh: &Mesh, findings: &mut Findings) -> Level {
    let spec = &object.spec;
    let mut out = Level::default();
    for (index, entry) in spec.access_logging.iter().enumerate() {
        let path = format!("spec.accessLogging[{index}].providers");
        let find = |p: &Provider| match p {
            Provider::Log(log) => Some(log.clone()),
            _ => None,
        };
        out.logs.push(Logging {
            sides: sides(entry.matches.as_ref().map(|m| m.mode)),
            names: !entry.providers.is_empty(),
            to: usable(object, mesh, &path, &entry.providers, ("a file access log", find), findings),
            disabled: entry.disabled == Some(true),
        });
    }
    for (index, entry) in spec.tracing.iter().enumerate() {
        let path = format!("spec.tracing[{index}].providers");
        let find = |p: &Provider| match p {
            Provider::Spans(spans) => Some(spans.clone()),
            _ => None,
        };
        let found = usable(object, mesh, &path, &entry.providers, ("zipkin", find), findings);
        out.spans.push(Spans {
            sides: sides(entry.matches.as_ref().map(|m| m.mode)),
            names: !entry.providers.is_empty(),
            to: found.into_iter().next(),
            disabled: entry.disable_span_reporting,
            sampling: entry.random_sampling_percentage.map(hundredths),
            tags: tags(&entry.custom_tags),
        });
    }
    out
}

fn sides(mode: Option<WorkloadMode>) -> Sides {
    match mode.unwrap_or_default() {
        WorkloadMode::ClientAndServer => Sides::Both,
        WorkloadMode::Client => Sides::Client,
        WorkloadMode::Server => Sides::Server,
    }
}

/// Providers of the kind that is wanted; all others are named.
fn usable<T>(
    object: &Object<Telemetry>,
    mesh: &Mesh,
    path: &str,
    names: &[written::ProviderRef],
    (wanted, find): (&str, impl Fn(&Provider) -> Option<T>),
    findings: &mut Findings,
) -> Vec<T> {
    let mut out = Vec::new();
    for reference in names {
        let name = reference.name.as_str();
        match mesh.providers.get(name) {
            None => {
                let text = format!("there is no provider {name:?} in extensionProviders");
                note(findings, object, path, Code::ReferencedResourceNotFound, text);
            }
            Some(provider) => match find(provider) {
                Some(found) => out.push(found),
                None => {
                    let text = format!("provider {name:?} is not {wanted}; only that is honoured here");
                    note(findings, object, path, Code::NotHonoured, text);
                }
            },
        }
    }
    out
}

/// Tags by name. What the environment or a formatter would give is named by the list of what is not honoured.
fn tags(from: &BTreeMap<String, CustomTag>) -> Vec<Tag> {
    let value = |tag: &CustomTag| match (&tag.literal, &tag.header) {
        (Some(literal), _) => Some(TagValue::Literal(literal.value.clone())),
        (None, Some(header)) => Some(TagValue::Header {
            name: header.name.to_ascii_lowercase(),
            default: header.default_value.clone(),
        }),
        (None, None) => None,
    };
    from.iter().filter_map(|(name, tag)| Some(Tag { name: name.clone(), value: value(tag)? })).collect()
}

#[cfg(test)]
mod tests {
    use super::super::telemetry::Side;
    use super::*;

    fn found(text: &str) -> (Telemetries, Findings) {
        let parsed = api::parse("test.yaml", text);
        assert!(parsed.findings.is_empty(), "{}", parsed.findings);
        let mut findings = Findings::new();
        let world = World::of(parsed.objects);
        let mesh = super::super::mesh_config::resolve(&world, &mut findings);
        (resolve(&world, &mesh, &mut findings), findings)
    }

    const MESH: &str = concat!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n",
        "    extensionProviders:\n    - {name: out, envoyFileAccessLog: {path: /dev/stdout}}\n",
        "    - {name: err, envoyFileAccessLog: {path: /dev/stderr}}\n",
        "    defaultProviders: {accessLogging: [out]}\n---\n",
    );

    fn one(name: &str, namespace: &str, spec: &str) -> String {
        format!(
            "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
        )
    }

    #[test]
    fn each_level_replaces_what_it_sets() {
        let text = MESH.to_owned()
            + &one("quiet", "a", "{accessLogging: [{disabled: true}]}")
            + &one(
                "loud",
                "a",
                "{selector: {matchLabels: {app: x}}, accessLogging: [{providers: [{name: err}], match: {mode: SERVER}}]}",
            );
        let (all, findings) = found(&text);
        assert!(findings.is_empty(), "{findings}");
        let x = BTreeMap::from([("app".to_owned(), "x".to_owned())]);
        let paths = |ns: &str, labels: &BTreeMap<String, String>, side: Side| -> Vec<String> {
            all.of(ns, labels, side).access_logs.into_iter().map(|l| l.path).collect()
        };
        let none = BTreeMap::new();
        assert_eq!(paths("b", &none, Side::Client), ["/dev/stdout"]);
        assert!(paths("a", &none, Side::Client).is_empty());
        assert!(paths("a", &x, Side::Client).is_empty());
        assert_eq!(paths("a", &x, Side::Server), ["/dev/stderr"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let text = MESH.to_owned()
            + &one(
                "t",
                "istio-system",
                "{tracing: [{providers: [{name: none}]}, {providers: [{name: out}]}]}",
            );
        let (_, findings) = found(&text);
        let codes: Vec<_> = findings.iter().map(|f| f.code).collect();
        assert_eq!(codes, [Code::ReferencedResourceNotFound, Code::NotHonoured]);
    }
}
