//! The limits of a bootstrap: its overload manager and its runtime.
//!
//! In: protobuf messages. Out: a [`Plan`], and the names of what has no effect here. An unknown monitor is an error,
//! since a limit that is not kept is worse than none; an action that cannot be done is named, the others stand.

use std::time::Duration;

use prost::{Message, Name};
use wire::pb::envoy::config::bootstrap::v3 as bootstrap;
use wire::pb::envoy::config::overload::v3 as overload;
use wire::pb::envoy::extensions::resource_monitors::{
    downstream_connections::v3 as connections, fixed_heap::v3 as heap,
};
use wire::pb::google::protobuf as google;

use super::{Action, Plan, Resource, Trigger};

/// Settings by key, as Envoy's runtime and Istio's `runtimeValues` have them.
#[derive(Debug, Default)]
pub struct Runtime {
    /// Keys that mean nothing here.
    pub ignored: Vec<String>,
}

impl Runtime {
    /// The layers of a bootstrap, later ones over earlier ones.
    pub fn layers(&mut self, runtime: bootstrap::LayeredRuntime, plan: &mut Plan) -> Result<(), String> {
        use bootstrap::runtime_layer::LayerSpecifier as L;
        for layer in runtime.layers {
            let ignored = match layer.layer_specifier {
                Some(L::StaticLayer(values)) => {
                    let mut all = Vec::new();
                    flatten("", values, &mut all);
                    for (key, value) in all {
                        self.set(&key, &value, plan)?;
                    }
                    continue;
                }
                Some(L::DiskLayer(_)) => "disk_layer",
                Some(L::RtdsLayer(_)) => "rtds_layer",
                Some(L::AdminLayer(_)) => "admin_layer",
                None => "a layer without a source",
            };
            self.ignored.push(format!("layered_runtime.{ignored} ({})", layer.name));
        }
        Ok(())
    }

    /// One setting.
    pub fn set(&mut self, key: &str, value: &str, plan: &mut Plan) -> Result<(), String> {
        let number = || -> Result<u64, String> {
            value.parse().map_err(|_| format!("runtime {key}: {value} is not a whole number"))
        };
        let listener = key
            .strip_prefix("envoy.resource_limits.listener.")
            .and_then(|rest| rest.strip_suffix(".connection_limit"));
        match (key, listener) {
            (_, Some(name)) => drop(plan.of_listeners.insert(name.to_owned(), number()?)),
            ("overload.global_downstream_max_connections", _) => plan.connections = Some(number()?),
            ("overload.premature_reset_total_stream_count", _) => {
                plan.premature_streams = u32::try_from(number()?).unwrap_or(u32::MAX);
            }
            ("overload.premature_reset_min_stream_lifetime_seconds", _) => {
                plan.premature = Duration::from_secs(number()?);
            }
            _ => self.ignored.push(format!("runtime {key}")),
        }
        Ok(())
    }
}

/// `a: {b: 1}` is `a.b`, as is `a.b: 1`.
fn flatten(before: &str, values: google::Struct, all: &mut Vec<(String, String)>) {
    use google::value::Kind as K;
    let mut fields: Vec<_> = values.fields.into_iter().collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, value) in fields {
        let key = if before.is_empty() { name } else { format!("{before}.{name}") };
        match value.kind {
            Some(K::StructValue(inner)) => flatten(&key, inner, all),
            Some(K::NumberValue(number)) => all.push((key, number.to_string())),
            Some(K::StringValue(text)) => all.push((key, text)),
            Some(K::BoolValue(flag)) => all.push((key, flag.to_string())),
            Some(K::NullValue(_) | K::ListValue(_)) | None => all.push((key, String::new())),
        }
    }
}

/// Reads an overload manager; returns the names of what has no effect.
pub fn manager(mut manager: overload::OverloadManager, plan: &mut Plan) -> Result<Vec<String>, String> {
    let mut ignored = Vec::new();
    if let Some(refresh) = manager.refresh_interval.take() {
        let whole = u64::try_from(refresh.seconds).ok().map(Duration::from_secs);
        let part = u64::try_from(refresh.nanos).ok().map(Duration::from_nanos);
        let read = whole.zip(part).map(|(whole, part)| whole + part);
        let read = read.filter(|refresh| *refresh >= Duration::from_millis(1));
        plan.refresh = read.ok_or("overload_manager.refresh_interval: not a time of at least 1 ms")?;
    }
    for monitor in std::mem::take(&mut manager.resource_monitors) {
        let place = format!("overload_manager.resource_monitors[{}]", monitor.name);
        let Some(overload::resource_monitor::ConfigType::TypedConfig(any)) = monitor.config_type else {
            return Err(format!("{place}: no typed_config"));
        };
        self::monitor(&any, plan).map_err(|why| format!("{place}: {why}"))?;
    }
    for action in std::mem::take(&mut manager.actions) {
        let Some(known) = Action::ALL.into_iter().find(|known| known.name() == action.name) else {
            ignored.push(format!("overload_manager.actions[{}]", action.name));
            continue;
        };
        for trigger in action.triggers {
            let place = format!("overload_manager.actions[{}].triggers[{}]", action.name, trigger.name);
            let trigger = self::trigger(known, trigger, plan).map_err(|why| format!("{place}: {why}"))?;
            plan.triggers.push(trigger);
        }
    }
    for point in std::mem::take(&mut manager.loadshed_points) {
        ignored.push(format!("overload_manager.loadshed_points[{}]", point.name));
    }
    if manager.buffer_factory_config.take().is_some() {
        ignored.push("overload_manager.buffer_factory_config".to_owned());
    }
    Ok(ignored)
}

fn monitor(any: &google::Any, plan: &mut Plan) -> Result<(), String> {
    let name = any.type_url.rsplit_once('/').map_or(any.type_url.as_str(), |(_, name)| name);
    if name == heap::FixedHeapConfig::full_name() {
        let config =
            heap::FixedHeapConfig::decode(any.value.as_slice()).map_err(|error| error.to_string())?;
        if config.max_heap_size_bytes_runtime.is_some() {
            return Err("max_heap_size_bytes_runtime is not supported".to_owned());
        }
        if config.max_heap_size_bytes == 0 {
            return Err("max_heap_size_bytes must be greater than 0".to_owned());
        }
        plan.memory = Some(config.max_heap_size_bytes);
    } else if name == connections::DownstreamConnectionsConfig::full_name() {
        let config = connections::DownstreamConnectionsConfig::decode(any.value.as_slice())
            .map_err(|error| error.to_string())?;
        let max = u64::try_from(config.max_active_downstream_connections).ok().filter(|max| *max > 0);
        plan.connections = Some(max.ok_or("max_active_downstream_connections must be greater than 0")?);
    } else {
        return Err(format!("{name} is not supported"));
    }
    Ok(())
}

fn trigger(action: Action, trigger: overload::Trigger, plan: &Plan) -> Result<Trigger, String> {
    use overload::trigger::TriggerOneof as T;
    let resource = [(Resource::Memory, plan.memory), (Resource::Connections, plan.connections)];
    let resource =
        resource.into_iter().find(|(known, limit)| known.name() == trigger.name && limit.is_some());
    let (resource, _) = resource.ok_or("no resource monitor has this name")?;
    let threshold = match trigger.trigger_oneof {
        Some(T::Threshold(one)) => one.value,
        // These actions are on or off: on where the scale ends.
        Some(T::Scaled(one)) => one.saturation_threshold,
        None => return Err("neither threshold nor scaled".to_owned()),
    };
    match (0.0..=1.0).contains(&threshold) {
        true => Ok(Trigger { action, resource, threshold }),
        false => Err(format!("{threshold} is not within 0 and 1")),
    }
}
