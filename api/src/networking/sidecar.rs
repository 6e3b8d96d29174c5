//! Sidecar: what a workload may see of the mesh, and which ports it opens.
//!
//! Read by pilot's scope. Without a selector it is the default of its namespace, in the root namespace of the mesh.

use super::{ConnectionPoolSettings, Destination, Port, ServerTlsSettings};
use crate::selector::LabelsSelector;

spec! {
    pub struct Sidecar {
        workload_selector: Option<LabelsSelector>,
        /// Replaces the ports found from the workload's Services.
        ingress: Vec<IstioIngressListener>,
        /// Empty: everything that is exported to the namespace.
        egress: Vec<IstioEgressListener>,
        inbound_connection_pool: Option<ConnectionPoolSettings>,
        outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    }

    pub struct IstioIngressListener {
        port: Option<Port>,
        bind: String,
        capture_mode: CaptureMode,
        /// `127.0.0.1:PORT`, `[::1]:PORT`, `0.0.0.0:PORT`, `[::]:PORT` or `unix://` path.
        default_endpoint: String,
        tls: Option<ServerTlsSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
    }

    pub struct IstioEgressListener {
        port: Option<Port>,
        bind: String,
        capture_mode: CaptureMode,
        /// `namespace/name`, with `*`, `.` and `~`.
        hosts: Vec<String>,
    }

    pub struct OutboundTrafficPolicy {
        mode: OutboundMode,
        /// Where unknown traffic goes, with `ALLOW_ANY`.
        egress_proxy: Option<Destination>,
    }
}

choice! {
    pub enum CaptureMode {
        #[default]
        Default = "DEFAULT",
        Iptables = "IPTABLES",
        None = "NONE",
    }

    /// What happens to traffic to unknown places. As the first word of a Sidecar's policy, `REGISTRY_ONLY` is its
    /// default; the mesh's own default is `ALLOW_ANY`.
    pub enum OutboundMode {
        #[default]
        RegistryOnly = "REGISTRY_ONLY",
        AllowAny = "ALLOW_ANY",
        /// Mesh settings only: names in requests are resolved.
        AllowAnyDynamicDns = "ALLOW_ANY_DYNAMIC_DNS",
    }
}
