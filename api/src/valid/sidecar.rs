//! Rules of Sidecar, ProxyConfig and EnvoyFilter: what shapes single proxies.

use std::collections::BTreeSet;

use super::gateway::bind;
use super::meta::{is_label, labels};
use super::virtual_service::destination;
use super::{At, Check, destination_rule, rules, tls};
use crate::finding::Code;
use crate::host;
use crate::meta::Meta;
use crate::networking::{
    ApplyTo, EnvoyFilter, IstioEgressListener, IstioIngressListener, OutboundMode, PatchContext,
    PatchOperation, Port, ProxyConfig, Sidecar,
};

impl Check for Sidecar {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        if let Some(selector) = &self.workload_selector {
            labels(&selector.labels, &at.key("workloadSelector").key("labels"));
        }
        let mut ports = BTreeSet::new();
        at.key("ingress").each(&self.ingress, |at, listener| {
            ingress(listener, at);
            let number = listener.port.as_ref().map_or(0, |port| port.number);
            let free = number == 0 || ports.insert((number, listener.bind.as_str()));
            at.key("port").must(free, Code::BadPort, || format!("port {number} stands twice"));
        });
        at.key("egress").each(&self.egress, egress);
        let open = self.egress.iter().filter(|listener| listener.port.is_none()).count();
        at.key("egress")
            .must(open <= 1, Code::Duplicate, || "only one listener can be without port".to_owned());
        if let Some(pool) = &self.inbound_connection_pool {
            destination_rule::connection_pool(pool, &at.key("inboundConnectionPool"));
        }
        if let Some(policy) = &self.outbound_traffic_policy {
            let at = at.key("outboundTrafficPolicy");
            at.key("mode").must(policy.mode != OutboundMode::AllowAnyDynamicDns, Code::BadValue, || {
                "ALLOW_ANY_DYNAMIC_DNS is only for the mesh settings".to_owned()
            });
            if let Some(proxy) = &policy.egress_proxy {
                destination(Some(proxy), &at.key("egressProxy"));
                at.key("egressProxy").must(policy.mode == OutboundMode::AllowAny, Code::Exclusive, || {
                    "egressProxy needs mode ALLOW_ANY".to_owned()
                });
            }
        }
    }
}

fn ingress(listener: &IstioIngressListener, at: &At<'_>) {
    match &listener.port {
        Some(port) => {
            rules::port(port.number, &at.key("port").key("number"));
            no_target(port, &at.key("port"));
        }
        None => at.key("port").tell(Code::Required, "set port"),
    }
    bind(&listener.bind, &at.key("bind"));
    let endpoint = listener.default_endpoint.as_str();
    let local =
        ["127.0.0.1:", "0.0.0.0:", "[::1]:", "[::]:"].iter().find_map(|front| endpoint.strip_prefix(front));
    let fits = endpoint.is_empty()
        || endpoint.strip_prefix("unix://").is_some_and(|path| path.starts_with(['/', '@']))
        || local.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    at.key("defaultEndpoint").must(fits, Code::BadAddress, || {
        format!("{endpoint:?} is not 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///path")
    });
    if let Some(settings) = &listener.tls {
        tls::server(settings, &at.key("tls"));
    }
    if let Some(pool) = &listener.connection_pool {
        destination_rule::connection_pool(pool, &at.key("connectionPool"));
    }
}

/// `defaultEndpoint` says where the application is.
fn no_target(port: &Port, at: &At<'_>) {
    if port.target_port != 0 {
        at.key("targetPort").tell(Code::NoEffect, "targetPort has no effect in a Sidecar");
    }
}

fn egress(at: &At<'_>, listener: &IstioEgressListener) {
    let unix = listener.bind.starts_with("unix://");
    if let Some(port) = &listener.port {
        no_target(port, &at.key("port"));
        if !unix {
            rules::port(port.number, &at.key("port").key("number"));
        }
    } else {
        at.key("bind").must(listener.bind.is_empty(), Code::Required, || "bind needs a port".to_owned());
    }
    bind(&listener.bind, &at.key("bind"));
    rules::some(&listener.hosts, &at.key("hosts"), "host");
    at.key("hosts").each(&listener.hosts, |at, name| {
        let Some((namespace, host)) = name.split_once('/') else {
            return at.tell(
                Code::BadHost,
                format!("{name:?} has no namespace; write namespace/host, ./host or */host"),
            );
        };
        let namespace = namespace.strip_prefix('~').filter(|rest| !rest.is_empty()).unwrap_or(namespace);
        at.must(matches!(namespace, "." | "*" | "~") || is_label(namespace), Code::BadHost, || {
            format!("{namespace:?} is no namespace; use a name, '.', '*' or '~'")
        });
        at.must(host::is_wildcard_dns_name(host), Code::BadHost, || format!("{host:?} is no host name"));
    });
}

impl Check for ProxyConfig {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::selector(self.selector.as_ref(), &at.key("selector"));
        rules::not_negative(self.concurrency.unwrap_or(0), &at.key("concurrency"));
    }
}

impl Check for EnvoyFilter {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        if let Some(selector) = &self.workload_selector {
            labels(&selector.labels, &at.key("workloadSelector").key("labels"));
        }
        rules::exclusive(
            &[
                ("workloadSelector", self.workload_selector.is_some()),
                ("targetRefs", !self.target_refs.is_empty()),
            ],
            at,
        );
        rules::attachment(None, None, &self.target_refs, at);
        at.key("configPatches").each(&self.config_patches, |at, item| {
            at.key("applyTo")
                .must(item.apply_to != ApplyTo::Invalid, Code::Required, || "set applyTo".to_owned());
            let Some(patch) = &item.patch else {
                return at.key("patch").tell(Code::Required, "set patch");
            };
            let at_patch = at.key("patch");
            at_patch.key("operation").must(
                patch.operation != PatchOperation::Invalid,
                Code::Required,
                || "set operation".to_owned(),
            );
            let needs_value = !matches!(patch.operation, PatchOperation::Remove | PatchOperation::Invalid);
            at_patch.key("value").must(!needs_value || !patch.value.is_null(), Code::Required, || {
                format!("operation {} needs a value", patch.operation)
            });
            let Some(matches) = &item.matches else { return };
            let at = at.key("match");
            if let Some(proxy) = &matches.proxy {
                rules::regex(&proxy.proxy_version, &at.key("proxy").key("proxyVersion"));
            }
            let waypoint = matches.context == PatchContext::Waypoint;
            at.key("waypoint").must(waypoint || matches.waypoint.is_none(), Code::Exclusive, || {
                "waypoint needs context WAYPOINT".to_owned()
            });
        });
    }
}
