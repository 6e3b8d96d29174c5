//! What HTTPRoute and GRPCRoute do to requests and responses on the way.

use super::{BackendObjectReference, LocalObjectReference};

spec! {
    /// `filter_type` says which one of the others is set.
    pub struct HttpRouteFilter {
        /// `RequestHeaderModifier`, `ResponseHeaderModifier`, `RequestMirror`, `RequestRedirect`, `URLRewrite`, `CORS`,
        /// `ExternalAuth` or `ExtensionRef`.
        #[serde(rename = "type")]
        filter_type: String,
        request_header_modifier: Option<HttpHeaderFilter>,
        response_header_modifier: Option<HttpHeaderFilter>,
        request_mirror: Option<HttpRequestMirrorFilter>,
        request_redirect: Option<HttpRequestRedirectFilter>,
        url_rewrite: Option<HttpUrlRewriteFilter>,
        cors: Option<HttpCorsFilter>,
        external_auth: Option<HttpExternalAuthFilter>,
        extension_ref: Option<LocalObjectReference>,
    }

    pub struct HttpHeaderFilter {
        set: Vec<HttpHeader>,
        add: Vec<HttpHeader>,
        remove: Vec<String>,
    }

    pub struct HttpHeader {
        name: String,
        value: String,
    }

    pub struct HttpRequestMirrorFilter {
        backend_ref: BackendObjectReference,
        /// 0 to 100; 100 where neither is set.
        percent: Option<i32>,
        fraction: Option<Fraction>,
    }

    pub struct Fraction {
        numerator: i32,
        /// 100 where absent.
        denominator: Option<i32>,
    }

    pub struct HttpRequestRedirectFilter {
        scheme: Option<String>,
        hostname: Option<String>,
        path: Option<HttpPathModifier>,
        port: Option<i32>,
        /// 302 where absent.
        status_code: Option<i32>,
    }

    pub struct HttpPathModifier {
        /// `ReplaceFullPath` or `ReplacePrefixMatch`.
        #[serde(rename = "type")]
        modifier_type: String,
        replace_full_path: Option<String>,
        replace_prefix_match: Option<String>,
    }

    pub struct HttpUrlRewriteFilter {
        hostname: Option<String>,
        path: Option<HttpPathModifier>,
    }

    pub struct HttpCorsFilter {
        allow_origins: Vec<String>,
        allow_credentials: Option<bool>,
        allow_methods: Vec<String>,
        allow_headers: Vec<String>,
        expose_headers: Vec<String>,
        /// Seconds; 5 where absent.
        max_age: Option<i32>,
    }

    pub struct HttpExternalAuthFilter {
        /// `HTTP` or `GRPC`.
        protocol: String,
        backend_ref: BackendObjectReference,
        grpc: Option<GrpcAuthConfig>,
        http: Option<HttpAuthConfig>,
        forward_body: Option<ForwardBodyConfig>,
    }

    pub struct GrpcAuthConfig {
        #[serde(rename = "allowedHeaders")]
        allowed_request_headers: Vec<String>,
    }

    pub struct HttpAuthConfig {
        path: String,
        #[serde(rename = "allowedHeaders")]
        allowed_request_headers: Vec<String>,
        allowed_response_headers: Vec<String>,
    }

    pub struct ForwardBodyConfig {
        /// Bytes.
        max_size: i32,
    }

    /// `filter_type` says which one of the others is set.
    pub struct GrpcRouteFilter {
        /// `RequestHeaderModifier`, `ResponseHeaderModifier`, `RequestMirror` or `ExtensionRef`.
        #[serde(rename = "type")]
        filter_type: String,
        request_header_modifier: Option<HttpHeaderFilter>,
        response_header_modifier: Option<HttpHeaderFilter>,
        request_mirror: Option<HttpRequestMirrorFilter>,
        extension_ref: Option<LocalObjectReference>,
    }
}
