//! Service: a name and address for a set of pods.

use std::collections::BTreeMap;

use crate::text::IntOrString;

spec! {
    pub struct Service {
        ports: Vec<ServicePort>,
        /// None: endpoints are made by hand.
        selector: BTreeMap<String, String>,
        /// `None`: headless; empty: to be given.
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        #[serde(rename = "clusterIPs")]
        cluster_ips: Vec<String>,
        /// `ClusterIP` (default), `NodePort`, `LoadBalancer` or `ExternalName`.
        #[serde(rename = "type")]
        service_type: String,
        #[serde(rename = "externalIPs")]
        external_ips: Vec<String>,
        session_affinity: String,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: String,
        load_balancer_source_ranges: Vec<String>,
        load_balancer_class: Option<String>,
        external_name: String,
        external_traffic_policy: String,
        internal_traffic_policy: Option<String>,
        health_check_node_port: i32,
        publish_not_ready_addresses: bool,
        ip_families: Vec<String>,
        ip_family_policy: Option<String>,
        allocate_load_balancer_node_ports: Option<bool>,
        /// `PreferClose`, `PreferSameZone` or `PreferSameNode`.
        traffic_distribution: Option<String>,
    }

    pub struct ServicePort {
        name: String,
        /// `TCP` (default), `UDP` or `SCTP`.
        protocol: String,
        app_protocol: Option<String>,
        port: i32,
        /// Number or name of the pod's port; absent: `port`.
        target_port: Option<IntOrString>,
        node_port: i32,
    }
}

impl Service {
    /// Whether clients get the pods' addresses instead of one for the Service.
    pub fn is_headless(&self) -> bool {
        self.cluster_ip == "None"
    }

    /// Whether it is only another name.
    pub fn is_external_name(&self) -> bool {
        self.service_type == "ExternalName"
    }
}
