//! What the mesh reads of an EndpointSlice, and nothing else: together they name every pod of a cluster once more.
//!
//! In: an EndpointSlice as an API server or a file has it. Out: a record of shared words. Made by `store`; read by
//! `model::endpoints`.

use std::net::IpAddr;

use api::Object;
use api::core::{EndpointSlice, SERVICE_NAME_LABEL};

use super::text::{Text, text};

/// Addresses behind a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    pub name: Text,
    pub namespace: Text,
    /// Name of the Service; empty: it is of none.
    pub service: Text,
    /// Names of the Service's ports, and the numbers behind them.
    pub ports: Box<[(Text, u16)]>,
    pub ends: Box<[End]>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct End {
    pub address: IpAddr,
    pub ready: bool,
    /// Name of the pod, if it is one.
    pub pod: Text,
    /// Name of its node, if known.
    pub node: Text,
    /// Its zone, if known.
    pub zone: Text,
}

impl Slice {
    /// The record of an object.
    pub fn of(object: &Object<EndpointSlice>) -> Self {
        let word = |value: Option<&str>| text(value.unwrap_or_default());
        let ends = object.spec.endpoints.iter().filter_map(|end| {
            let pod = end.target_ref.as_ref().filter(|r| r.kind == "Pod");
            Some(End {
                address: end.addresses.first()?.parse().ok()?,
                ready: end.is_ready(),
                pod: word(pod.map(|r| r.name.as_str())),
                node: word(end.node_name.as_deref()),
                zone: word(end.zone.as_deref()),
            })
        });
        let ports = object.spec.ports.iter();
        let ports = ports.filter_map(|p| Some((text(&p.name), u16::try_from(p.port?).ok()?)));
        Slice {
            name: text(&object.meta.name),
            namespace: text(&object.meta.namespace),
            service: word(object.meta.label(SERVICE_NAME_LABEL)),
            ports: ports.collect(),
            ends: ends.collect(),
        }
    }
}
