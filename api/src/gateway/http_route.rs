//! HTTPRoute: HTTP requests by host, path, headers, query and method to backends.

use super::{BackendRef, HttpRouteFilter, ParentReference, SessionPersistence};
use crate::time::Duration;

spec! {
    pub struct HttpRoute {
        parent_refs: Vec<ParentReference>,
        /// `All` or `None`: attach to default Gateways.
        use_default_gateways: Option<String>,
        /// Empty: those of the listener.
        hostnames: Vec<String>,
        rules: Vec<HttpRouteRule>,
    }

    pub struct HttpRouteRule {
        name: Option<String>,
        /// Any of them; none: path prefix `/`.
        matches: Vec<HttpRouteMatch>,
        filters: Vec<HttpRouteFilter>,
        backend_refs: Vec<HttpBackendRef>,
        timeouts: Option<HttpRouteTimeouts>,
        retry: Option<HttpRouteRetry>,
        session_persistence: Option<SessionPersistence>,
    }

    /// Conditions that must all hold.
    pub struct HttpRouteMatch {
        path: Option<HttpPathMatch>,
        headers: Vec<HttpHeaderMatch>,
        query_params: Vec<HttpQueryParamMatch>,
        method: Option<String>,
    }

    pub struct HttpPathMatch {
        /// `Exact`, `PathPrefix` (default) or `RegularExpression`.
        #[serde(rename = "type")]
        match_type: Option<String>,
        /// `/` where absent.
        value: Option<String>,
    }

    pub struct HttpHeaderMatch {
        /// `Exact` (default) or `RegularExpression`.
        #[serde(rename = "type")]
        match_type: Option<String>,
        name: String,
        value: String,
    }

    pub struct HttpQueryParamMatch {
        /// `Exact` (default) or `RegularExpression`.
        #[serde(rename = "type")]
        match_type: Option<String>,
        name: String,
        value: String,
    }

    /// A `BackendRef` with filters of its own.
    pub struct HttpBackendRef {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
        port: Option<i32>,
        /// Relative; 1 where absent.
        weight: Option<i32>,
        filters: Vec<HttpRouteFilter>,
    }

    pub struct HttpRouteTimeouts {
        /// Of the whole request; 0s: none.
        request: Option<Duration>,
        /// Of one try.
        backend_request: Option<Duration>,
    }

    pub struct HttpRouteRetry {
        /// Status codes, 400 to 599.
        codes: Vec<i32>,
        attempts: Option<i32>,
        backoff: Option<Duration>,
    }
}

impl HttpBackendRef {
    /// The reference without its filters.
    pub fn backend(&self) -> BackendRef {
        BackendRef {
            group: self.group.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            port: self.port,
            weight: self.weight,
        }
    }
}
