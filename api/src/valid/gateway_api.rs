//! Rules of the Gateway API's kinds.

use std::collections::BTreeSet;

use super::{At, Check, http_headers, rules};
use crate::finding::Code;
use crate::gateway::{
    BackendTlsPolicy, Gateway, GatewayClass, GrpcRoute, HttpPathModifier, HttpRoute, HttpRouteFilter,
    HttpRouteMatch, HttpRouteRule, L4RouteRule, ListenerEntry, ListenerSet, ParentReference, ReferenceGrant,
    TcpRoute, TlsRoute, UdpRoute, XBackend, XBackendTrafficPolicy, XListenerSet, XMesh,
};
use crate::meta::Meta;

impl Check for GatewayClass {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        controller(&self.controller_name, &at.key("controllerName"));
    }
}

impl Check for XMesh {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        controller(&self.controller_name, &at.key("controllerName"));
    }
}

fn controller(name: &str, at: &At<'_>) {
    at.must(name.split_once('/').is_some(), Code::BadValue, || format!("{name:?} is not domain/path"));
}

impl Check for Gateway {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::required(&self.gateway_class_name, &at.key("gatewayClassName"), "the class, such as istio");
        rules::some(&self.listeners, &at.key("listeners"), "listener");
        let entries = self.listeners.iter().map(|l| ListenerEntry {
            name: l.name.clone(),
            hostname: l.hostname.clone(),
            port: l.port,
            protocol: l.protocol.clone(),
            tls: l.tls.clone(),
            allowed_routes: l.allowed_routes.clone(),
        });
        listeners(&entries.collect::<Vec<_>>(), false, &at.key("listeners"));
    }
}

impl Check for ListenerSet {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::required(&self.parent_ref.name, &at.key("parentRef").key("name"), "the Gateway");
        listeners(&self.listeners, true, &at.key("listeners"));
    }
}

impl Check for XListenerSet {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::required(&self.parent_ref.name, &at.key("parentRef").key("name"), "the Gateway");
        listeners(&self.listeners, true, &at.key("listeners"));
    }
}

fn listeners(list: &[ListenerEntry], port_may_be_chosen: bool, at: &At<'_>) {
    rules::unique(list.iter().map(|listener| listener.name.as_str()), at, "listener");
    let mut seen = BTreeSet::new();
    at.each(list, |at, listener| {
        rules::required(&listener.name, &at.key("name"), "a name for the listener");
        if listener.port != 0 || !port_may_be_chosen {
            rules::port_i32(listener.port, &at.key("port"));
        }
        rules::required(&listener.protocol, &at.key("protocol"), "the protocol, such as HTTP");
        if let Some(hostname) = &listener.hostname {
            rules::wildcard_host(hostname, &at.key("hostname"));
        }
        let secured = matches!(listener.protocol.as_str(), "HTTPS" | "TLS");
        at.key("tls").must(
            secured || listener.tls.is_none() || listener.protocol == "HBONE",
            Code::Exclusive,
            || format!("a listener of protocol {} has no tls", listener.protocol),
        );
        at.key("tls").must(!secured || listener.tls.is_some(), Code::Required, || {
            format!("a listener of protocol {} needs tls", listener.protocol)
        });
        if let Some(tls) = &listener.tls {
            let terminate = tls.mode.as_deref() != Some("Passthrough");
            let certificate = !tls.certificate_refs.is_empty() || !tls.options.is_empty();
            at.key("tls").must(
                !terminate || certificate || listener.protocol == "HBONE",
                Code::Required,
                || "TLS is ended here, which needs certificateRefs".to_owned(),
            );
        }
        let distinct = seen.insert((listener.port, listener.protocol.clone(), listener.hostname.clone()));
        at.must(distinct, Code::Duplicate, || {
            "port, protocol and hostname are those of another listener".to_owned()
        });
    });
}

fn parents(list: &[ParentReference], at: &At<'_>) {
    at.key("parentRefs").each(list, |at, parent| {
        rules::required(&parent.name, &at.key("name"), "what the route is attached to");
        if let Some(port) = parent.port {
            rules::port_i32(port, &at.key("port"));
        }
    });
}

fn hostnames(list: &[String], at: &At<'_>) {
    at.key("hostnames").each(list, |at, name| {
        at.must(!rules::is_ip(name), Code::BadHost, || format!("{name:?} is an address; use names"));
        rules::wildcard_host(name, at);
    });
}

/// Name, port and weight of a backend.
fn backend(name: &str, kind: Option<&str>, port: Option<i32>, weight: Option<i32>, at: &At<'_>) {
    rules::required(name, &at.key("name"), "the backend");
    match port {
        Some(port) => {
            rules::port_i32(port, &at.key("port"));
        }
        None => {
            at.key("port").must(kind.is_some_and(|kind| kind != "Service"), Code::Required, || {
                "a Service needs its port".to_owned()
            });
        }
    }
    rules::within(i64::from(weight.unwrap_or(1)), 0, 1_000_000, &at.key("weight"));
}

impl Check for HttpRoute {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        parents(&self.parent_refs, at);
        hostnames(&self.hostnames, at);
        at.key("rules").each(&self.rules, http_rule);
    }
}

fn http_rule(at: &At<'_>, rule: &HttpRouteRule) {
    at.key("matches").each(&rule.matches, http_match);
    filters(&rule.filters, &at.key("filters"));
    at.key("backendRefs").each(&rule.backend_refs, |at, to| {
        backend(&to.name, to.kind.as_deref(), to.port, to.weight, at);
        filters(&to.filters, &at.key("filters"));
    });
    let redirect = rule.filters.iter().any(|filter| filter.request_redirect.is_some());
    at.key("backendRefs").must(!redirect || rule.backend_refs.is_empty(), Code::Exclusive, || {
        "a redirected request has no backend; remove backendRefs or the redirect".to_owned()
    });
    if let Some(timeouts) = &rule.timeouts {
        let at = at.key("timeouts");
        rules::span_or_zero(timeouts.request, &at.key("request"));
        rules::span_or_zero(timeouts.backend_request, &at.key("backendRequest"));
        if let (Some(request), Some(one_try)) = (timeouts.request, timeouts.backend_request) {
            at.key("backendRequest").must(one_try <= request || request.is_zero(), Code::OutOfRange, || {
                "one try cannot take longer than the request".to_owned()
            });
        }
    }
    if let Some(retry) = &rule.retry {
        at.key("retry").key("codes").each(&retry.codes, |at, code| {
            rules::within(i64::from(*code), 400, 599, at);
        });
    }
}

fn http_match(at: &At<'_>, m: &HttpRouteMatch) {
    if let Some(path) = &m.path {
        let at = at.key("path");
        let value = path.value.as_deref().unwrap_or("/");
        match path.match_type.as_deref().unwrap_or("PathPrefix") {
            "Exact" | "PathPrefix" => {
                at.key("value").must(value.starts_with('/'), Code::BadValue, || {
                    format!("{value:?} does not start with /")
                });
            }
            "RegularExpression" => rules::regex(value, &at.key("value")),
            other => at
                .key("type")
                .tell(Code::BadValue, format!("{other:?} is not Exact, PathPrefix or RegularExpression")),
        }
    }
    at.key("headers").each(&m.headers, |at, header| {
        http_headers::name(&header.name, &at.key("name"));
        pattern(header.match_type.as_deref(), &header.value, at);
    });
    at.key("queryParams").each(&m.query_params, |at, param| {
        rules::required(&param.name, &at.key("name"), "the parameter");
        pattern(param.match_type.as_deref(), &param.value, at);
    });
}

fn pattern(kind: Option<&str>, value: &str, at: &At<'_>) {
    match kind.unwrap_or("Exact") {
        "Exact" => {}
        "RegularExpression" => rules::regex(value, &at.key("value")),
        other => at.key("type").tell(Code::BadValue, format!("{other:?} is not Exact or RegularExpression")),
    }
}

fn filters(list: &[HttpRouteFilter], at: &At<'_>) {
    at.each(list, |at, filter| {
        let parts = [
            ("RequestHeaderModifier", "requestHeaderModifier", filter.request_header_modifier.is_some()),
            ("ResponseHeaderModifier", "responseHeaderModifier", filter.response_header_modifier.is_some()),
            ("RequestMirror", "requestMirror", filter.request_mirror.is_some()),
            ("RequestRedirect", "requestRedirect", filter.request_redirect.is_some()),
            ("URLRewrite", "urlRewrite", filter.url_rewrite.is_some()),
            ("CORS", "cors", filter.cors.is_some()),
            ("ExternalAuth", "externalAuth", filter.external_auth.is_some()),
            ("ExtensionRef", "extensionRef", filter.extension_ref.is_some()),
        ];
        let kind = filter.filter_type.as_str();
        at.key("type").must(parts.iter().any(|(word, ..)| *word == kind), Code::BadValue, || {
            format!("{kind:?} is no filter")
        });
        for (word, field, set) in parts {
            at.key(field).must(set == (word == kind), Code::Exclusive, || match set {
                true => format!("the filter is of type {kind:?}; change the type or remove this"),
                false => format!("a filter of type {kind} needs it"),
            });
        }
        if let Some(redirect) = &filter.request_redirect {
            let at = at.key("requestRedirect");
            let code = redirect.status_code.unwrap_or(302);
            at.key("statusCode").must(matches!(code, 301 | 302 | 303 | 307 | 308), Code::OutOfRange, || {
                format!("{code} is no redirect")
            });
            redirect.path.as_ref().inspect(|path| modifier(path, &at.key("path")));
        }
        if let Some(path) = filter.url_rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref()) {
            modifier(path, &at.key("urlRewrite").key("path"));
        }
        if let Some(mirror) = &filter.request_mirror {
            let at = at.key("requestMirror");
            rules::exclusive(
                &[("percent", mirror.percent.is_some()), ("fraction", mirror.fraction.is_some())],
                &at,
            );
            rules::percent(f64::from(mirror.percent.unwrap_or(100)), &at.key("percent"));
            let to = &mirror.backend_ref;
            backend(&to.name, to.kind.as_deref(), to.port, None, &at.key("backendRef"));
        }
    });
}

fn modifier(path: &HttpPathModifier, at: &At<'_>) {
    let fits = match path.modifier_type.as_str() {
        "ReplaceFullPath" => path.replace_full_path.is_some(),
        "ReplacePrefixMatch" => path.replace_prefix_match.is_some(),
        _ => false,
    };
    at.must(fits, Code::BadValue, || {
        "use type ReplaceFullPath or ReplacePrefixMatch with the field of that name".to_owned()
    });
}

impl Check for GrpcRoute {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        parents(&self.parent_refs, at);
        hostnames(&self.hostnames, at);
        at.key("rules").each(&self.rules, |at, rule| {
            at.key("backendRefs").each(&rule.backend_refs, |at, to| {
                backend(&to.name, to.kind.as_deref(), to.port, to.weight, at);
            });
        });
    }
}

fn l4_rules(list: &[L4RouteRule], at: &At<'_>) {
    let at = at.key("rules");
    rules::some(list, &at, "rule");
    at.each(list, |at, rule| {
        at.key("backendRefs").each(&rule.backend_refs, |at, to| {
            backend(&to.name, to.kind.as_deref(), to.port, to.weight, at);
        });
    });
}

impl Check for TcpRoute {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        parents(&self.parent_refs, at);
        l4_rules(&self.rules, at);
    }
}

impl Check for TlsRoute {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        parents(&self.parent_refs, at);
        hostnames(&self.hostnames, at);
        l4_rules(&self.rules, at);
    }
}

impl Check for UdpRoute {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        parents(&self.parent_refs, at);
        l4_rules(&self.rules, at);
    }
}

impl Check for ReferenceGrant {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::some(&self.from, &at.key("from"), "source");
        rules::some(&self.to, &at.key("to"), "target");
        at.key("from").each(&self.from, |at, from| {
            rules::required(&from.kind, &at.key("kind"), "a kind");
            rules::required(&from.namespace, &at.key("namespace"), "a namespace");
        });
        at.key("to").each(&self.to, |at, to| {
            rules::required(&to.kind, &at.key("kind"), "a kind");
        });
    }
}

impl Check for BackendTlsPolicy {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::some(&self.target_refs, &at.key("targetRefs"), "target");
        let at = at.key("validation");
        let v = &self.validation;
        let sources = [
            ("caCertificateRefs", !v.ca_certificate_refs.is_empty()),
            ("wellKnownCACertificates", v.well_known_ca_certificates.is_some()),
        ];
        rules::exactly_one(&sources, &at);
        if rules::required(&v.hostname, &at.key("hostname"), "the server's name") {
            rules::host(&v.hostname, &at.key("hostname"));
        }
    }
}

impl Check for XBackendTrafficPolicy {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::some(&self.target_refs, &at.key("targetRefs"), "target");
        let budget = self.retry_constraint.as_ref().and_then(|constraint| constraint.budget.as_ref());
        if let Some(percent) = budget.and_then(|budget| budget.percent) {
            rules::percent(f64::from(percent), &at.key("retryConstraint").key("budget").key("percent"));
        }
    }
}

impl Check for XBackend {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        let parts = [
            ("ExternalHostname", "externalHostname", self.external_hostname.is_some()),
            ("EndpointSelector", "endpointSelector", self.endpoint_selector.is_some()),
        ];
        for (word, field, set) in parts {
            at.key(field).must(set == (word == self.backend_type), Code::Exclusive, || {
                format!("{field} belongs to type {word}, and only to it")
            });
        }
        rules::port_i32(self.port.number, &at.key("port").key("number"));
    }
}
