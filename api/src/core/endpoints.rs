//! Endpoints and EndpointSlice: the addresses behind a Service.

use std::collections::BTreeMap;

use super::ObjectReference;

spec! {
    pub struct Endpoints {
        subsets: Vec<EndpointSubset>,
    }

    /// Every address with every port.
    pub struct EndpointSubset {
        addresses: Vec<EndpointAddress>,
        not_ready_addresses: Vec<EndpointAddress>,
        ports: Vec<EndpointPort>,
    }

    pub struct EndpointAddress {
        ip: String,
        hostname: String,
        node_name: Option<String>,
        target_ref: Option<ObjectReference>,
    }

    pub struct EndpointPort {
        /// The Service port's name.
        name: String,
        port: Option<i32>,
        protocol: String,
        app_protocol: Option<String>,
    }

    /// Belongs to the Service named by the label `kubernetes.io/service-name`.
    pub struct EndpointSlice {
        /// `IPv4`, `IPv6` or `FQDN`.
        address_type: String,
        endpoints: Vec<SliceEndpoint>,
        ports: Vec<EndpointPort>,
    }

    pub struct SliceEndpoint {
        addresses: Vec<String>,
        conditions: Option<EndpointConditions>,
        hostname: Option<String>,
        node_name: Option<String>,
        target_ref: Option<ObjectReference>,
        zone: Option<String>,
        deprecated_topology: BTreeMap<String, String>,
        hints: Option<EndpointHints>,
    }

    pub struct EndpointConditions {
        /// Absent: ready.
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    }

    pub struct EndpointHints {
        for_zones: Vec<ForZone>,
    }

    pub struct ForZone {
        name: String,
    }
}

/// Label of an EndpointSlice that names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

impl SliceEndpoint {
    /// Whether it takes new connections.
    pub fn is_ready(&self) -> bool {
        self.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true)
    }
}
