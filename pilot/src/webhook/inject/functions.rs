//! Functions of injection templates, beside those of Helm: Istio's own, and those that mean something else here.
//!
//! Called by `config` for every template. In: values of a template. Out: values. None looks at anything but its arguments,
//! except for `env`, which sees the environment of the control plane.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::{FuncMap, Result, Value};
use serde_json::{Value as Json, json};

use super::PROXY;
use super::proxy;
use crate::template::{self, Args, Function, failed, from_json, text, to_json};

/// All functions that a template of the injector may use.
pub(super) fn functions(environment: &Arc<BTreeMap<String, String>>) -> FuncMap {
    let mut map = template::functions();
    for (name, function) in ALL {
        let function = *function;
        map.insert((*name).into(), Arc::new(move |args: &[Value]| function(Args(name, args))));
    }
    let environment = environment.clone();
    map.insert(
        "env".into(),
        Arc::new(move |args: &[Value]| {
            let args = Args("env", args);
            let set = environment.get(&args.text(0)?).filter(|value| !value.is_empty());
            set.map_or_else(|| args.text(1).map(text), |value| Ok(text(value.as_str())))
        }),
    );
    map
}

const ALL: &[(&str, Function)] = &[
    ("isset", |a| Ok(Value::Bool(a.at(0)?.field(&a.text(1)?).is_some()))),
    ("annotation", |a| {
        let own = a.at(0)?.field("Annotations").and_then(|all| all.field(&a.text(1).ok()?));
        own.map_or_else(|| a.text(2).map(text), |value| Ok(value.clone()))
    }),
    ("valueOrDefault", |a| match a.at(0)? {
        Value::Nil => a.at(1).cloned(),
        Value::String(given) if given.is_empty() => a.at(1).cloned(),
        given => Ok(given.clone()),
    }),
    // Go's maps of strings give an empty string for a key that is not there, which prints as nothing.
    ("index", index),
    ("eq", |a| {
        Ok(Value::Bool(
            (1..a.1.len()).map(|other| same(a, other)).collect::<Result<Vec<_>>>()?.contains(&true),
        ))
    }),
    ("ne", |a| Ok(Value::Bool(!same(a, 1)?))),
    ("toJSON", as_json),
    ("fromJSON", |a| {
        let read = serde_json::from_str(&a.text(0)?);
        from_json(&read.map_err(|error| failed(format!("fromJSON: {error}")))?)
    }),
    ("structToJSON", as_json),
    ("toJsonMap", |a| {
        let given = a.json(0)?;
        let fields = given.as_object().cloned().unwrap_or_default();
        Ok(text(Json::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()).to_string()))
    }),
    ("protoToJSON", |a| {
        let given = a.json(0)?;
        Ok(text(
            Json::Object(proxy::different(given.as_object().unwrap_or(&serde_json::Map::new()))).to_string(),
        ))
    }),
    ("toYaml", |a| Ok(text(api::emit::to_yaml(&a.json(0)?)))),
    // The first line stands where the action does.
    ("indent", |a| Ok(text(a.text(1)?.replace('\n', &format!("\n{}", " ".repeat(a.size(0)?)))))),
    ("toLower", |a| Ok(text(a.text(0)?.to_lowercase()))),
    ("directory", |a| {
        let path = a.text(0)?;
        Ok(text(path.rsplit_once('/').map_or("./".to_owned(), |(directory, _)| format!("{directory}/"))))
    }),
    ("excludeInboundPort", exclude_inbound_port),
    ("includeInboundPorts", |a| ports(a, false)),
    ("applicationPorts", |a| ports(a, true)),
    ("excludeInterfaces", |a| a.text(0).map(text)),
    ("kubevirtInterfaces", |a| a.text(0).map(text)),
    ("formatDuration", |a| a.text(0).map(text)),
    ("strdict", |a| {
        let pairs = (0..a.1.len()).step_by(2).map(|at| Ok((Arc::from(a.text(at)?), text(a.text(at + 1)?))));
        Ok(Value::Map(Arc::new(pairs.collect::<Result<_>>()?)))
    }),
    ("mergeMaps", |a| {
        let mut whole = json!({});
        for at in 0..a.1.len() {
            template::merge_over(&mut whole, &a.json(at)?);
        }
        from_json(&whole)
    }),
    ("omitNil", |a| {
        let given = a.json(0)?;
        let fields = given.as_object().cloned().unwrap_or_default();
        from_json(&Json::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()))
    }),
    ("otelResourceAttributes", resource_attributes),
    ("appendMultusNetwork", append_network),
];

fn index(args: Args<'_>) -> Result<Value> {
    let mut at = args.at(0)?.clone();
    for key in args.1.get(1..).unwrap_or_default() {
        at = match (&at, key) {
            (Value::Map(map), Value::String(key)) => match map.get(key.as_ref()) {
                Some(value) => value.clone(),
                None if map.values().all(|value| matches!(value, Value::String(_))) => text(""),
                None => Value::Nil,
            },
            (Value::Nil, _) => Value::Nil,
            (other, key) => other.index(key)?,
        };
    }
    Ok(at)
}

/// Numbers are compared with text as text: annotations are text, values of the chart may be numbers.
fn same(args: Args<'_>, other: usize) -> Result<bool> {
    Ok(match (args.at(0)?, args.at(other)?) {
        (Value::Nil, Value::Nil) => true,
        (Value::Nil, value) | (value, Value::Nil) => {
            !value.is_truthy() && !matches!(value, Value::Map(_) | Value::List(_))
        }
        (Value::String(one), two) => one.as_ref() == two.to_string(),
        (one, Value::String(two)) => one.to_string() == two.as_ref(),
        (one, two) => to_json(one) == to_json(two),
    })
}

fn as_json(args: Args<'_>) -> Result<Value> {
    Ok(text(match args.json(0)? {
        Json::Null => "{}".to_owned(),
        value => value.to_string(),
    }))
}

/// The status port is the proxy's: it is excluded, after what the user excludes.
fn exclude_inbound_port(args: Args<'_>) -> Result<Value> {
    let (port, excluded) = (args.text(0)?.trim().to_owned(), args.text(1)?);
    if port.is_empty() || port == "0" {
        return Ok(text(excluded));
    }
    let mut all: Vec<&str> = excluded.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if !all.contains(&port.as_str()) {
        all.push(&port);
    }
    Ok(text(all.join(",")))
}

/// TCP ports of containers, without those of the proxy where `application`.
fn ports(args: Args<'_>, application: bool) -> Result<Value> {
    let containers = args.json(0)?;
    let mut all = Vec::new();
    for container in containers.as_array().into_iter().flatten() {
        if application && container["name"] == PROXY {
            continue;
        }
        for port in container["ports"].as_array().into_iter().flatten() {
            if matches!(port["protocol"].as_str(), None | Some("" | "TCP")) {
                all.push(port["containerPort"].to_string());
            }
        }
    }
    Ok(text(all.join(",")))
}

/// What OpenTelemetry calls the resource, from annotations, labels and the owner.
fn resource_attributes(args: Args<'_>) -> Result<Value> {
    let meta = args.at(0)?;
    let within =
        |map: &str, key: &str| meta.field(map).and_then(|all| all.field(key)).map(ToString::to_string);
    let annotations = to_json(meta.field("Annotations").unwrap_or(&Value::Nil));
    let mut pairs: Vec<String> = Vec::new();
    for (key, value) in annotations.as_object().into_iter().flatten() {
        if let Some(name) = key.strip_prefix("resource.opentelemetry.io/") {
            pairs.push(format!("{name}={}", value.as_str().unwrap_or_default()));
        }
    }
    let name =
        within("Labels", "app.kubernetes.io/instance").or_else(|| within("Labels", "app.kubernetes.io/name"));
    pairs.extend(name.map(|name| format!("service.name={name}")));
    pairs.extend(
        within("Labels", "app.kubernetes.io/version").map(|version| format!("service.version={version}")),
    );
    Ok(text(pairs.join(",")))
}

/// One more network in the annotation of Multus, in whichever of its forms.
fn append_network(args: Args<'_>) -> Result<Value> {
    let (existing, network) = (args.text(0)?.trim().to_owned(), args.text(1)?);
    if existing.is_empty() {
        return Ok(text(network));
    }
    if existing.starts_with('[') {
        let mut list: Vec<Json> = serde_json::from_str(&existing)
            .map_err(|error| failed(format!("annotation k8s.v1.cni.cncf.io/networks: {error}")))?;
        list.push(json!({"name": network}));
        return Ok(text(Json::Array(list).to_string()));
    }
    Ok(text(format!("{existing}, {network}")))
}
