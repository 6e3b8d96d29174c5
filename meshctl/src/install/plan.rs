//! From a spec to components: which charts, under which names, with which values.
//!
//! In: a merged IstioOperator spec. Out: components in the order of installing. What a spec says and no chart can do is an
//! error that names the field. Called by `cmd/manifest`; `render` makes objects of each component.

use anyhow::{Result, bail};
use pilot::template::merge_over;
use serde_json::{Value, json};

use super::render::Release;

/// What a component is to the one who installs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Core,
    Istiod,
    Egress,
    Ingress,
}

impl Role {
    /// The value of the label `operator.istio.io/component`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Core => "Base",
            Self::Istiod => "Pilot",
            Self::Egress => "EgressGateways",
            Self::Ingress => "IngressGateways",
        }
    }

    /// What people call it, and the sign that istioctl puts behind it.
    pub fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Core => ("Istio core", "⛵️"),
            Self::Istiod => ("Istiod", "🧠"),
            Self::Egress => ("Egress gateways", "🛫"),
            Self::Ingress => ("Ingress gateways", "🛬"),
        }
    }
}

/// One chart to install.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    pub role: Role,
    pub chart: &'static str,
    pub release: Release,
    pub values: Value,
}

/// A profile: whether istiod comes, and which gateways.
const PROFILES: &[(&str, bool, &[&str])] = &[
    ("default", true, &[INGRESS]),
    ("demo", true, &[INGRESS, EGRESS]),
    ("minimal", true, &[]),
    ("empty", false, &[]),
    ("preview", true, &[INGRESS]),
    ("remote", true, &[]),
];

const INGRESS: &str = "istio-ingressgateway";
const EGRESS: &str = "istio-egressgateway";

const FIELDS: &[&str] =
    &["profile", "hub", "tag", "revision", "namespace", "meshConfig", "values", "components"];
const COMPONENTS: &[&str] = &["base", "pilot", "ingressGateways", "egressGateways", "cni", "ztunnel"];
/// Fields of `k8s` that are values of the charts: of both, of istiod, of gateways (name there).
const K8S: &[(&str, &str, &str)] = &[
    ("resources", "resources", "resources"),
    ("nodeSelector", "nodeSelector", "nodeSelector"),
    ("affinity", "affinity", "affinity"),
    ("tolerations", "tolerations", "tolerations"),
    ("podAnnotations", "podAnnotations", "podAnnotations"),
    ("serviceAnnotations", "serviceAnnotations", "service.annotations"),
    ("replicaCount", "replicaCount", "replicaCount"),
    ("env", "envVarFrom", "envVarFrom"),
    ("service.type", "", "service.type"),
    ("service.ports", "", "service.ports"),
    ("service.loadBalancerIP", "", "service.loadBalancerIP"),
    ("service.externalTrafficPolicy", "", "service.externalTrafficPolicy"),
    ("hpaSpec.minReplicas", "autoscaleMin", "autoscaling.minReplicas"),
    ("hpaSpec.maxReplicas", "autoscaleMax", "autoscaling.maxReplicas"),
];

/// Components of a spec.
///
/// # Errors
/// An unknown profile or field, or one that no chart honours.
pub fn plan(spec: &Value) -> Result<Vec<Component>> {
    known(spec, "", FIELDS)?;
    let components = spec.get("components").cloned().unwrap_or_default();
    known(&components, "components.", COMPONENTS)?;
    for name in ["cni", "ztunnel"] {
        if components[name]["enabled"] == true {
            bail!("components.{name} is not honoured: ambient mode and the CNI plugin are not supported yet");
        }
    }
    let profile = spec["profile"].as_str().or(spec["values"]["profile"].as_str()).unwrap_or("default");
    let Some((_, istiod, gateways)) = PROFILES.iter().find(|(name, _, _)| *name == profile) else {
        let names: Vec<&str> = PROFILES.iter().map(|(name, _, _)| *name).collect();
        bail!("profile {profile:?} is not known; use one of {}", names.join(", "));
    };
    let namespace = text(&spec["namespace"]).or(text(&spec["values"]["global"]["istioNamespace"]));
    let namespace = namespace.unwrap_or("istio-system");
    let values = shared(spec, profile, namespace);
    let revision = text(&values["revision"]).unwrap_or_default().to_owned();
    let mut planned = Vec::new();
    if enabled(&components["base"], *istiod) {
        let release = Release { name: "istio-base".into(), namespace: namespace.into() };
        planned.push(Component { role: Role::Core, chart: "base", release, values: values.clone() });
    }
    if enabled(&components["pilot"], *istiod) {
        let mut values = values.clone();
        if let Some(fields) = values.get_mut("gateways").and_then(Value::as_object_mut) {
            fields.retain(|name, _| name != INGRESS && name != EGRESS);
        }
        component_settings(&components["pilot"], "components.pilot", true, &mut values)?;
        let name = if revision.is_empty() { "istiod".into() } else { format!("istiod-{revision}") };
        let release = Release { name, namespace: namespace.into() };
        planned.push(Component { role: Role::Istiod, chart: "istiod", release, values });
    }
    for (list, usual) in [("ingressGateways", INGRESS), ("egressGateways", EGRESS)] {
        let wanted = gateways.contains(&usual);
        planned.extend(self::gateways(&components[list], list, wanted.then_some(usual), &values, namespace)?);
    }
    Ok(planned)
}

/// The values that charts share, from the fields of the spec that are short for them.
fn shared(spec: &Value, profile: &str, namespace: &str) -> Value {
    let mut values = json!({"profile": profile, "global": {"istioNamespace": namespace}});
    if let Some(given) = spec.get("values") {
        merge_over(&mut values, given);
    }
    for field in ["hub", "tag"] {
        if let Some(value) = spec.get(field) {
            values["global"][field] = value.clone();
        }
    }
    for field in ["revision", "meshConfig"] {
        if let Some(value) = spec.get(field) {
            let mut over = json!({});
            over[field] = value.clone();
            merge_over(&mut values, &over);
        }
    }
    values
}

/// The gateways of one list: the profile's own, changed by an entry of its name, and the others.
fn gateways(
    list: &Value,
    field: &str,
    usual: Option<&str>,
    values: &Value,
    namespace: &str,
) -> Result<Vec<Component>> {
    let entries = list.as_array().cloned().unwrap_or_default();
    let mut names: Vec<&str> = usual.into_iter().collect();
    for (index, entry) in entries.iter().enumerate() {
        let Some(name) = text(&entry["name"]) else { bail!("components.{field}[{index}].name is missing") };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut planned = Vec::new();
    for name in names {
        let found = entries.iter().enumerate().find(|(_, entry)| entry["name"] == name);
        let (index, entry) = found.map_or((0, &Value::Null), |(index, entry)| (index, entry));
        if !enabled(entry, usual == Some(name)) {
            continue;
        }
        let mut own = gateway_values(values, field == "egressGateways");
        if let Some(labels) = entry.get("label") {
            own["labels"] = labels.clone();
        }
        named_gateway(values, name, &mut own)?;
        component_settings(entry, &format!("components.{field}[{index}]"), false, &mut own)?;
        let namespace = text(&entry["namespace"]).unwrap_or(namespace);
        let release = Release { name: name.to_owned(), namespace: namespace.to_owned() };
        let role = if field == "egressGateways" { Role::Egress } else { Role::Ingress };
        planned.push(Component { role, chart: "gateway", release, values: own });
    }
    Ok(planned)
}

/// What all gateways of an installation have: ports above 1024 behind those that clients use.
fn gateway_values(values: &Value, egress: bool) -> Value {
    let port = |name: &str, port: u16, target: u16| json!({"name": name, "port": port, "protocol": "TCP", "targetPort": target});
    let mut own = json!({"profile": values["profile"]});
    let mut ports = vec![port("http2", 80, 8080), port("https", 443, 8443)];
    if egress {
        own["service"] = json!({"type": "ClusterIP"});
    } else {
        ports.insert(0, port("status-port", 15021, 15021));
        if values["profile"] == "demo" {
            ports.extend([port("tcp", 31400, 31400), port("tls", 15443, 15443)]);
        }
    }
    own["service"]["ports"] = Value::from(ports);
    for field in ["revision", "global"] {
        if let Some(value) = values.get(field) {
            own[field] = value.clone();
        }
    }
    own
}

/// Values below `gateways.NAME`, in the names that they have there.
fn named_gateway(values: &Value, name: &str, own: &mut Value) -> Result<()> {
    const NAMES: &[(&str, &str)] = &[
        ("type", "service.type"),
        ("ports", "service.ports"),
        ("serviceAnnotations", "service.annotations"),
        ("loadBalancerIP", "service.loadBalancerIP"),
        ("loadBalancerSourceRanges", "service.loadBalancerSourceRanges"),
        ("externalTrafficPolicy", "service.externalTrafficPolicy"),
        ("autoscaleEnabled", "autoscaling.enabled"),
        ("autoscaleMin", "autoscaling.minReplicas"),
        ("autoscaleMax", "autoscaling.maxReplicas"),
        ("replicaCount", "replicaCount"),
        ("resources", "resources"),
        ("podAnnotations", "podAnnotations"),
        ("nodeSelector", "nodeSelector"),
        ("tolerations", "tolerations"),
        ("env", "env"),
        ("labels", "labels"),
    ];
    for (field, value) in values["gateways"][name].as_object().into_iter().flatten() {
        let Some((_, place)) = NAMES.iter().find(|(known, _)| known == field) else {
            bail!(
                "values.gateways.{name}.{field} is not honoured; see charts/gateway/values.yaml for what a gateway has"
            );
        };
        put(own, place, value);
    }
    Ok(())
}

/// `enabled`, `k8s` and the like of one component.
fn component_settings(component: &Value, field: &str, istiod: bool, values: &mut Value) -> Result<()> {
    known(component, &format!("{field}."), &["enabled", "name", "namespace", "label", "hub", "tag", "k8s"])?;
    for name in ["hub", "tag"] {
        if let Some(value) = component.get(name) {
            if !istiod {
                bail!("{field}.{name} is not honoured: gateways get their image from istiod");
            }
            put(values, name, value);
        }
    }
    let mut rest = component.get("k8s").cloned().unwrap_or_default();
    for (from, to_istiod, to_gateway) in K8S {
        let to = if istiod { to_istiod } else { to_gateway };
        let value = at(&rest, from);
        if to.is_empty() || value.is_null() {
            continue;
        }
        put(values, to, &value);
        take(&mut rest, from);
    }
    if let Some(name) = rest.as_object().and_then(|rest| rest.keys().next()) {
        bail!("{field}.k8s.{name} is not honoured; use values of the chart instead");
    }
    Ok(())
}

fn known(value: &Value, prefix: &str, fields: &[&str]) -> Result<()> {
    let given = value.as_object().into_iter().flat_map(|map| map.keys());
    let unknown: Vec<String> = given
        .filter(|field| !fields.contains(&field.as_str()))
        .map(|field| match api::de::nearest(fields.iter().copied(), field) {
            Some(near) => format!("{prefix}{field} is not known; did you mean {near}?"),
            None => format!("{prefix}{field} is not known; there are {}", fields.join(", ")),
        })
        .collect();
    if unknown.is_empty() { Ok(()) } else { bail!("{}", unknown.join("\n")) }
}

fn enabled(component: &Value, usual: bool) -> bool {
    component["enabled"].as_bool().unwrap_or(usual)
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// What stands at `a.b`; null where nothing does.
fn at(value: &Value, path: &str) -> Value {
    value.pointer(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or_default()
}

/// Puts a value at `a.b`, over what is there.
fn put(values: &mut Value, path: &str, value: &Value) {
    let over = path.rsplit('.').fold(value.clone(), |inner, key| json!({key: inner}));
    merge_over(values, &over);
}

/// Removes `a.b`, and `a` when nothing is left in it.
fn take(value: &mut Value, path: &str) {
    let Some(map) = value.as_object_mut() else { return };
    match path.split_once('.') {
        None => {
            map.shift_remove(path);
        }
        Some((key, rest)) => {
            if let Some(inner) = map.get_mut(key) {
                take(inner, rest);
                if inner.as_object().is_some_and(|inner| inner.is_empty()) {
                    map.shift_remove(key);
                }
            }
        }
    }
}
