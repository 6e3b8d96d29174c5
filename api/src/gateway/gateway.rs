//! Gateway and GatewayClass of the Gateway API: listeners, and who implements them.

use std::collections::BTreeMap;

use super::{Infrastructure, ObjectReference, ParametersReference, SecretObjectReference};
use crate::meta::LabelSelector;

spec! {
    pub struct GatewayClass {
        controller_name: String,
        parameters_ref: Option<ParametersReference>,
        description: Option<String>,
    }

    pub struct Gateway {
        gateway_class_name: String,
        listeners: Vec<Listener>,
        addresses: Vec<GatewaySpecAddress>,
        infrastructure: Option<Infrastructure>,
        allowed_listeners: Option<AllowedListeners>,
        tls: Option<GatewayTlsConfig>,
        /// `All` or `None`: whether routes without parents attach here.
        default_scope: Option<String>,
    }

    pub struct Listener {
        name: String,
        /// Absent: every host.
        hostname: Option<String>,
        port: i32,
        /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`, or `HBONE`.
        protocol: String,
        tls: Option<ListenerTlsConfig>,
        allowed_routes: Option<AllowedRoutes>,
    }

    pub struct ListenerTlsConfig {
        /// `Terminate` (default) or `Passthrough`.
        mode: Option<String>,
        certificate_refs: Vec<SecretObjectReference>,
        /// Before v1.5 here, now in `spec.tls.frontend`.
        frontend_validation: Option<FrontendTlsValidation>,
        options: BTreeMap<String, String>,
    }

    /// Which routes may attach.
    pub struct AllowedRoutes {
        namespaces: Option<RouteNamespaces>,
        kinds: Vec<RouteGroupKind>,
    }

    pub struct RouteNamespaces {
        /// `Same` (default), `All` or `Selector`.
        from: Option<String>,
        selector: Option<LabelSelector>,
    }

    pub struct RouteGroupKind {
        group: Option<String>,
        kind: String,
    }

    /// Which ListenerSets may attach.
    pub struct AllowedListeners {
        namespaces: Option<ListenerNamespaces>,
    }

    pub struct ListenerNamespaces {
        /// `None` (default), `Same`, `All` or `Selector`.
        from: Option<String>,
        selector: Option<LabelSelector>,
    }

    pub struct GatewaySpecAddress {
        /// `IPAddress` (default), `Hostname` or a domain-prefixed word.
        #[serde(rename = "type")]
        address_type: Option<String>,
        value: String,
    }

    pub struct GatewayTlsConfig {
        /// Towards backends.
        backend: Option<GatewayBackendTls>,
        /// Towards clients.
        frontend: Option<FrontendTlsConfig>,
    }

    pub struct GatewayBackendTls {
        client_certificate_ref: Option<SecretObjectReference>,
    }

    pub struct FrontendTlsConfig {
        default: Option<TlsConfig>,
        per_port: Vec<TlsPortConfig>,
    }

    pub struct TlsPortConfig {
        port: i32,
        tls: Option<TlsConfig>,
    }

    pub struct TlsConfig {
        validation: Option<FrontendTlsValidation>,
    }

    /// How client certificates are verified.
    pub struct FrontendTlsValidation {
        ca_certificate_refs: Vec<ObjectReference>,
        /// `AllowValidOnly` (default) or `AllowInsecureFallback`.
        mode: Option<String>,
    }
}
