//! Ingress and IngressClass: Kubernetes' older way to let requests in.

use std::collections::BTreeMap;

spec! {
    pub struct Ingress {
        ingress_class_name: Option<String>,
        default_backend: Option<IngressBackend>,
        tls: Vec<IngressTls>,
        rules: Vec<IngressRule>,
    }

    pub struct IngressBackend {
        service: Option<IngressServiceBackend>,
        resource: Option<IngressResourceBackend>,
    }

    pub struct IngressServiceBackend {
        name: String,
        port: Option<IngressPort>,
    }

    /// By name or by number.
    pub struct IngressPort {
        name: String,
        number: i32,
    }

    pub struct IngressResourceBackend {
        api_group: Option<String>,
        kind: String,
        name: String,
    }

    pub struct IngressTls {
        hosts: Vec<String>,
        secret_name: String,
    }

    pub struct IngressRule {
        /// Empty: any.
        host: String,
        http: Option<IngressHttpRule>,
    }

    pub struct IngressHttpRule {
        paths: Vec<IngressPath>,
    }

    pub struct IngressPath {
        path: String,
        /// `Exact`, `Prefix` or `ImplementationSpecific`.
        path_type: Option<String>,
        backend: Option<IngressBackend>,
    }

    pub struct IngressClass {
        controller: String,
        parameters: Option<BTreeMap<String, serde_json::Value>>,
    }
}
