//! One CustomResourceDefinition: names, versions, columns, status.
//!
//! Names, columns, categories and which version is stored are Istio's, so that objects and habits survive a change of
//! mesh in either direction. All versions of a kind have one schema, so there is no conversion.

use serde_json::{Value, json};

use super::schema;
use crate::emit;
use crate::fields;
use crate::kind::{Family, Kind};

/// A column of `kubectl get`: title, path, type, description.
type Column = (&'static str, &'static str, &'static str, &'static str);

const AGE: Column = (
    "Age",
    ".metadata.creationTimestamp",
    "date",
    "When the object was made, by the clock of the API server.",
);

/// Every definition, by group and plural.
pub fn definitions() -> Vec<Value> {
    let mut kinds: Vec<Kind> =
        Kind::ALL.iter().copied().filter(|kind| kind.row().family == Family::Mesh).collect();
    kinds.sort_by_key(|kind| (kind.group(), kind.row().plural));
    kinds.into_iter().map(definition).collect()
}

/// All definitions as one text of several documents.
pub fn yaml() -> String {
    let head =
        "# Made from the types of the crate `api` by `cargo xtask bless`. Change those, not this file.\n";
    let documents: Vec<String> = definitions().iter().map(emit::to_yaml).collect();
    format!("{head}{}", documents.join("---\n"))
}

/// The definition of one kind.
pub fn definition(kind: Kind) -> Value {
    let row = kind.row();
    let family = row.group.split('.').next().unwrap_or_default();
    let mut names = json!({
        "categories": ["istio-io", format!("{family}-istio-io")],
        "kind": row.name,
        "listKind": format!("{}List", row.name),
        "plural": row.plural,
        "singular": row.name.to_lowercase(),
    });
    if !row.short.is_empty() {
        names["shortNames"] = json!(row.short);
    }
    let mut labels =
        json!({"app": "istio-pilot", "chart": "istio", "heritage": "Tiller", "release": "istio"});
    match family {
        "security" | "telemetry" => labels["istio"] = json!(family),
        _ => {}
    }
    let schema = whole(kind);
    let versions: Vec<Value> = row.versions.iter().map(|version| served(kind, version, &schema)).collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            // Helm keeps them when the chart is removed: with them go the users' objects.
            "annotations": {"helm.sh/resource-policy": "keep"},
            "labels": labels,
            "name": format!("{}.{}", row.plural, row.group),
        },
        "spec": {"group": row.group, "names": names, "scope": "Namespaced", "versions": versions},
    })
}

fn served(kind: Kind, version: &str, schema: &Value) -> Value {
    let mut served = json!({
        "name": version,
        "schema": {"openAPIV3Schema": schema},
        "served": true,
        "storage": version == stored(kind),
        "subresources": {"status": {}},
    });
    let columns: Vec<Value> = columns(kind).iter().map(column).collect();
    if !columns.is_empty() {
        served["additionalPrinterColumns"] = json!(columns);
    }
    served
}

fn column((name, path, kind, description): &Column) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path, "description": description})
}

/// The version in which objects are kept: the preferred one, but for Telemetry.
fn stored(kind: Kind) -> &'static str {
    match kind {
        Kind::Telemetry => "v1alpha1",
        kind => kind.row().versions.first().expect("the mesh's kinds have versions"),
    }
}

fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::VirtualService => &[
            ("Gateways", ".spec.gateways", "string", "Gateways that apply these routes."),
            ("Hosts", ".spec.hosts", "string", "Hosts to which these routes apply."),
            AGE,
        ],
        Kind::DestinationRule => {
            &[("Host", ".spec.host", "string", "The service to which this policy applies."), AGE]
        }
        Kind::ServiceEntry => &[
            ("Hosts", ".spec.hosts", "string", "Hosts of the service."),
            ("Location", ".spec.location", "string", "Whether the service is part of the mesh."),
            ("Resolution", ".spec.resolution", "string", "How the addresses of the service are found."),
            AGE,
        ],
        Kind::WorkloadEntry => &[AGE, ("Address", ".spec.address", "string", "Address of the workload.")],
        Kind::AuthorizationPolicy => {
            &[("Action", ".spec.action", "string", "What is done with matching requests."), AGE]
        }
        Kind::PeerAuthentication => {
            &[("Mode", ".spec.mtls.mode", "string", "Mutual TLS that workloads accept."), AGE]
        }
        Kind::WorkloadGroup | Kind::Telemetry | Kind::WasmPlugin | Kind::TrafficExtension => &[AGE],
        _ => &[],
    }
}

/// Kinds that mean nothing without a spec.
fn needs_spec(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ServiceEntry
            | Kind::WorkloadEntry
            | Kind::WorkloadGroup
            | Kind::WasmPlugin
            | Kind::TrafficExtension
    )
}

/// The schema of an object: its spec, and the status that is the same for all.
fn whole(kind: Kind) -> Value {
    let spec = schema::structural(kind, "", fields::schema(kind).as_value());
    let mut whole = json!({"type": "object", "properties": {"spec": spec, "status": status()}});
    if needs_spec(kind) {
        whole["required"] = json!(["spec"]);
    }
    whole
}

fn status() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    let time = |about: &str| json!({"type": "string", "format": "date-time", "description": about});
    let generation = json!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": true,
        "description": "Generation of the object that this is about.",
    });
    let condition = json!({
        "type": {"type": "string", "description": "What the condition is about, in CamelCase."},
        "status": text("`True`, `False` or `Unknown`."),
        "reason": text("One CamelCase word that says why."),
        "message": text("The reason in words."),
        "lastProbeTime": time("When the condition was last looked at."),
        "lastTransitionTime": time("When the status last changed."),
        "observedGeneration": generation,
    });
    let message = json!({
        "documentationUrl": text("Where the message is explained."),
        "level": {"type": "string", "enum": ["UNKNOWN", "ERROR", "WARNING", "INFO"],
                  "description": "How bad it is."},
        "type": {"type": "object", "description": "Which message it is.", "properties": {
            "code": text("Code such as `IST0101`."),
            "name": text("Name that goes with the code."),
        }},
    });
    json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "description": "Written by the control plane.",
        "properties": {
            "conditions": {"type": "array", "description": "The state of the object, one entry per aspect.",
                           "items": {"type": "object", "properties": condition}},
            "observedGeneration": generation,
            "validationMessages": {"type": "array", "description": "What the analysis found.",
                                   "items": {"type": "object", "properties": message}},
        },
    })
}
