//! GRPCRoute: gRPC calls by host, service, method and headers to backends.

use super::{GrpcRouteFilter, ParentReference, SessionPersistence};

spec! {
    pub struct GrpcRoute {
        parent_refs: Vec<ParentReference>,
        /// `All` or `None`: attach to default Gateways.
        use_default_gateways: Option<String>,
        hostnames: Vec<String>,
        rules: Vec<GrpcRouteRule>,
    }

    pub struct GrpcRouteRule {
        name: Option<String>,
        /// Any of them; none: everything.
        matches: Vec<GrpcRouteMatch>,
        filters: Vec<GrpcRouteFilter>,
        backend_refs: Vec<GrpcBackendRef>,
        session_persistence: Option<SessionPersistence>,
    }

    pub struct GrpcRouteMatch {
        method: Option<GrpcMethodMatch>,
        headers: Vec<GrpcHeaderMatch>,
    }

    pub struct GrpcMethodMatch {
        /// `Exact` (default) or `RegularExpression`.
        #[serde(rename = "type")]
        match_type: Option<String>,
        service: Option<String>,
        method: Option<String>,
    }

    pub struct GrpcHeaderMatch {
        /// `Exact` (default) or `RegularExpression`.
        #[serde(rename = "type")]
        match_type: Option<String>,
        name: String,
        value: String,
    }

    /// A `BackendRef` with filters of its own.
    pub struct GrpcBackendRef {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
        port: Option<i32>,
        /// Relative; 1 where absent.
        weight: Option<i32>,
        filters: Vec<GrpcRouteFilter>,
    }
}
