//! What is told about the traffic of one workload: access logs and spans, for each side of a call.
//!
//! Made by `telemetries.rs` from Telemetry objects; asked by a view, once per class of proxies. Root namespace,
//! namespace, workload: each level replaces what it sets. A provider that a level names and that cannot be used is
//! not among its providers, but has been named by a finding.

use std::collections::BTreeMap;

use api::meta::labels_match;

use super::mesh::{AccessLog, Observe, Tag, Tracing};

/// All Telemetry objects, and what they start from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Telemetries {
    /// Of the mesh settings.
    pub default: Observe,
    /// Namespace of the mesh-wide level.
    pub root: String,
    /// Levels without selector, by namespace.
    pub namespaces: BTreeMap<String, Level>,
    /// Levels for some workloads, oldest first.
    pub workloads: Vec<Chosen>,
}

/// A level for the workloads of a namespace with some labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chosen {
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub level: Level,
}

/// One Telemetry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Level {
    pub logs: Vec<Logging>,
    pub spans: Vec<Spans>,
}

/// Which side of a call an entry is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sides {
    #[default]
    Both,
    Client,
    Server,
}

/// One side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Sidecars towards others, and gateways.
    Client,
    Server,
}

/// An entry of `accessLogging`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Logging {
    pub sides: Sides,
    /// Whether it names providers at all; else it is about those of the level above.
    pub names: bool,
    pub to: Vec<AccessLog>,
    pub disabled: bool,
}

/// An entry of `tracing`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spans {
    pub sides: Sides,
    pub names: bool,
    /// The first usable provider.
    pub to: Option<Tracing>,
    /// None: as above.
    pub disabled: Option<bool>,
    /// Hundredths of a percent.
    pub sampling: Option<u32>,
    /// Empty: as above.
    pub tags: Vec<Tag>,
}

impl Sides {
    fn has(self, side: Side) -> bool {
        matches!(
            (self, side),
            (Sides::Both, _) | (Sides::Client, Side::Client) | (Sides::Server, Side::Server)
        )
    }
}

impl Telemetries {
    /// What is told at one side of a workload.
    pub fn of(&self, namespace: &str, labels: &BTreeMap<String, String>, side: Side) -> Observe {
        let mesh = self.namespaces.get(&self.root);
        let own = self.namespaces.get(namespace).filter(|_| namespace != self.root);
        let chosen =
            self.workloads.iter().find(|c| c.namespace == namespace && labels_match(&c.labels, labels));
        let levels: Vec<&Level> = mesh.into_iter().chain(own).chain(chosen.map(|c| &c.level)).collect();
        Observe { access_logs: self.logs(&levels, side), tracing: self.spans(&levels, side) }
    }

    fn logs(&self, levels: &[&Level], side: Side) -> Vec<AccessLog> {
        let mut current = self.default.access_logs.clone();
        for level in levels {
            let entries: Vec<&Logging> = level.logs.iter().filter(|l| l.sides.has(side)).collect();
            if entries.is_empty() {
                continue;
            }
            // Naming providers replaces those of the level above.
            let mut next = if entries.iter().any(|e| e.names) { Vec::new() } else { current.clone() };
            for entry in entries {
                let about = if entry.names { &entry.to } else { &current };
                next.retain(|log| !about.contains(log));
                if !entry.disabled {
                    next.extend(about.iter().cloned());
                }
            }
            current = next;
        }
        current
    }

    fn spans(&self, levels: &[&Level], side: Side) -> Option<Tracing> {
        let mut current = self.default.tracing.clone();
        let (mut disabled, mut sampling, mut tags) = (false, None, Vec::new());
        for entry in levels.iter().flat_map(|l| &l.spans).filter(|s| s.sides.has(side)) {
            if entry.names {
                current.clone_from(&entry.to);
            }
            disabled = entry.disabled.unwrap_or(disabled);
            sampling = entry.sampling.or(sampling);
            if !entry.tags.is_empty() {
                tags.clone_from(&entry.tags);
            }
        }
        let mut found = current.filter(|_| !disabled)?;
        found.sampling = sampling.unwrap_or(found.sampling);
        found.tags = tags;
        Some(found)
    }
}
