//! Which endpoints are near: where a client is, and in which order endpoints come for it.
//!
//! Comes in: a client's place (from its view) and a preference (from a DestinationRule, a Service or the mesh). Goes
//! out: the priority of each endpoint, 0 the first. Called by `endpoint.rs`.

use std::collections::BTreeMap;

use crate::model::asked::Asked;
use crate::model::endpoint::Endpoint;
use crate::model::policy::Locality;
use crate::model::service::{HOSTNAME, REGION, SUBZONE, ZONE};
use crate::model::workloads::{CLUSTER, CLUSTER_LABEL, NETWORK};

/// Where a client is, as far as something asks for it: each field multiplies the number of views.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Near {
    /// `region/zone/subzone`.
    pub locality: String,
    pub network: String,
    pub node: String,
    pub labels: BTreeMap<String, String>,
}

/// In which order endpoints come for one client class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefer {
    pub client: Near,
    pub order: Order,
}

/// What makes an endpoint near.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Its locality.
    Locality(Locality),
    /// Labels in which both agree, as many as possible from the first on: `key`, or `key=value`.
    Labels(Vec<String>),
}

impl Near {
    /// What of this place something in the mesh asks for.
    pub(super) fn only(self, asked: &Asked) -> Near {
        let labels = self.labels.into_iter().filter(|(key, _)| asked.labels.contains(key)).collect();
        Near {
            locality: if asked.locality { self.locality } else { String::new() },
            network: if asked.network { self.network } else { String::new() },
            node: if asked.node { self.node } else { String::new() },
            labels,
        }
    }
}

fn bare(label: &str) -> &str {
    label.split('=').next().unwrap_or_default()
}

impl Prefer {
    /// Smaller comes first; may have gaps.
    pub(super) fn priority(&self, endpoint: &Endpoint) -> u32 {
        match &self.order {
            Order::Locality(setting) => self.by_locality(setting, &endpoint.locality),
            Order::Labels(labels) => {
                let same = labels.iter().take_while(|label| self.agrees(label, endpoint)).count();
                (labels.len() - same) as u32
            }
        }
    }

    fn agrees(&self, label: &str, endpoint: &Endpoint) -> bool {
        let theirs =
            value(bare(label), (&endpoint.locality, &endpoint.network, &endpoint.node, &endpoint.labels));
        let c = &self.client;
        let wanted = label.split_once('=').map(|(_, wanted)| wanted);
        wanted.unwrap_or_else(|| value(label, (&c.locality, &c.network, &c.node, &c.labels))) == theirs
    }

    /// 0 is the client's own subzone, then zone, region, failover region, the rest.
    fn by_locality(&self, setting: &Locality, locality: &str) -> u32 {
        if !setting.distribute.is_empty() {
            return 0;
        }
        let mut own = self.client.locality.split('/');
        let mut theirs = locality.split('/');
        let same = (0..3).take_while(|_| own.next().unwrap_or("") == theirs.next().unwrap_or("")).count();
        match same {
            3 => 0,
            2 => 1,
            1 => 2,
            _ => {
                let region = |l: &str| l.split('/').next().unwrap_or("").to_owned();
                let (from, to) = (region(&self.client.locality), region(locality));
                let wanted = setting.failover.iter().any(|(f, t)| *f == from && *t == to);
                let named = setting.failover.iter().any(|(f, _)| *f == from);
                if wanted || !named { 3 } else { 4 }
            }
        }
    }

    /// Weight of a locality under `distribute`.
    pub(super) fn share(&self, locality: &str) -> Option<u32> {
        let Order::Locality(setting) = &self.order else { return None };
        let (_, to) =
            setting.distribute.iter().find(|(from, _)| pattern_matches(from, &self.client.locality))?;
        let share =
            to.iter().find(|(pattern, _)| pattern_matches(pattern, locality)).map(|(_, weight)| *weight);
        Some(share.unwrap_or(0).max(1))
    }
}

/// Locality, network, node and labels.
type Place<'a> = (&'a str, &'a str, &'a str, &'a BTreeMap<String, String>);

/// What a place says under a label; topology has labels of its own.
fn value<'a>(key: &str, (locality, network, node, labels): Place<'a>) -> &'a str {
    let part = |at: usize| locality.split('/').nth(at).unwrap_or_default();
    match key {
        REGION => part(0),
        ZONE => part(1),
        SUBZONE => part(2),
        NETWORK => network,
        CLUSTER_LABEL => CLUSTER,
        HOSTNAME => node,
        _ => labels.get(key).map(String::as_str).unwrap_or_default(),
    }
}

/// `region/zone/*` against `region/zone/subzone`.
fn pattern_matches(pattern: &str, locality: &str) -> bool {
    let mut theirs = locality.split('/');
    pattern.split('/').all(|part| part == "*" || theirs.next().unwrap_or("") == part)
}
