//! EnvoyFilter: patches on generated Envoy configuration.
//!
//! Order: root namespace first, then priority, age, name.

use std::collections::BTreeMap;

use crate::selector::{LabelsSelector, TargetRef};

spec! {
    pub struct EnvoyFilter {
        workload_selector: Option<LabelsSelector>,
        target_refs: Vec<TargetRef>,
        config_patches: Vec<EnvoyConfigObjectPatch>,
        /// Smaller first; 0 where absent.
        priority: i32,
    }

    pub struct EnvoyConfigObjectPatch {
        apply_to: ApplyTo,
        #[serde(rename = "match")]
        matches: Option<EnvoyConfigObjectMatch>,
        patch: Option<Patch>,
    }

    pub struct EnvoyConfigObjectMatch {
        context: PatchContext,
        proxy: Option<ProxyMatch>,
        listener: Option<ListenerMatch>,
        route_configuration: Option<RouteConfigurationMatch>,
        cluster: Option<ClusterMatch>,
        waypoint: Option<WaypointMatch>,
    }

    pub struct ProxyMatch {
        /// Regular expression on the proxy's version.
        proxy_version: String,
        metadata: BTreeMap<String, String>,
    }

    pub struct ListenerMatch {
        port_number: u32,
        /// Unused, as in Istio.
        port_name: String,
        filter_chain: Option<FilterChainMatch>,
        listener_filter: String,
        name: String,
    }

    pub struct FilterChainMatch {
        name: String,
        sni: String,
        transport_protocol: String,
        application_protocols: String,
        filter: Option<FilterMatch>,
        destination_port: u32,
        transport_socket: Option<TransportSocketMatch>,
    }

    pub struct TransportSocketMatch {
        name: String,
    }

    pub struct FilterMatch {
        name: String,
        sub_filter: Option<SubFilterMatch>,
    }

    pub struct SubFilterMatch {
        name: String,
    }

    pub struct RouteConfigurationMatch {
        port_number: u32,
        port_name: String,
        /// `namespace/name`.
        gateway: String,
        vhost: Option<VirtualHostMatch>,
        name: String,
    }

    pub struct VirtualHostMatch {
        /// `host:port`.
        name: String,
        domain_name: String,
        route: Option<RouteMatch>,
    }

    pub struct RouteMatch {
        name: String,
        action: RouteActionMatch,
    }

    pub struct ClusterMatch {
        port_number: u32,
        /// Full host name.
        service: String,
        subset: String,
        name: String,
    }

    pub struct WaypointMatch {
        port_number: u32,
        filter: Option<FilterMatch>,
        route: Option<WaypointRouteMatch>,
    }

    pub struct WaypointRouteMatch {
        name: String,
    }

    pub struct Patch {
        operation: PatchOperation,
        /// Envoy configuration as it stands.
        value: serde_json::Value,
        filter_class: FilterClass,
    }
}

choice! {
    pub enum ApplyTo {
        #[default]
        Invalid = "INVALID",
        Listener = "LISTENER",
        FilterChain = "FILTER_CHAIN",
        NetworkFilter = "NETWORK_FILTER",
        HttpFilter = "HTTP_FILTER",
        RouteConfiguration = "ROUTE_CONFIGURATION",
        VirtualHost = "VIRTUAL_HOST",
        HttpRoute = "HTTP_ROUTE",
        Cluster = "CLUSTER",
        ExtensionConfig = "EXTENSION_CONFIG",
        Bootstrap = "BOOTSTRAP",
        ListenerFilter = "LISTENER_FILTER",
    }

    pub enum PatchContext {
        #[default]
        Any = "ANY",
        SidecarInbound = "SIDECAR_INBOUND",
        SidecarOutbound = "SIDECAR_OUTBOUND",
        Gateway = "GATEWAY",
        Waypoint = "WAYPOINT",
    }

    pub enum PatchOperation {
        #[default]
        Invalid = "INVALID",
        Merge = "MERGE",
        Add = "ADD",
        Remove = "REMOVE",
        InsertBefore = "INSERT_BEFORE",
        InsertAfter = "INSERT_AFTER",
        InsertFirst = "INSERT_FIRST",
        Replace = "REPLACE",
        MergeAndReplaceList = "MERGE_AND_REPLACE_LIST",
    }

    pub enum FilterClass {
        #[default]
        Unspecified = "UNSPECIFIED",
        Authn = "AUTHN",
        Authz = "AUTHZ",
        Stats = "STATS",
    }

    pub enum RouteActionMatch {
        #[default]
        Any = "ANY",
        Route = "ROUTE",
        Redirect = "REDIRECT",
        DirectResponse = "DIRECT_RESPONSE",
    }
}
