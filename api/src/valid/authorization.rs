//! Rules of AuthorizationPolicy.

use super::{At, Check, rules};
use crate::finding::Code;
use crate::meta::Meta;
use crate::security::{Action, AuthorizationPolicy, Condition, Operation, Source};

/// Keys of conditions; those with `[` go on with a name and `]`.
const KEYS: [&str; 14] = [
    "request.headers[",
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.serviceAccount",
    "source.trustDomain",
    "source.principal",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "request.auth.claims[",
    "destination.ip",
    "destination.port",
    "connection.sni",
];

/// Rules in one policy.
const MAX_RULES: usize = 512;

impl Check for AuthorizationPolicy {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::attachment(self.selector.as_ref(), self.target_ref.as_ref(), &self.target_refs, at);
        let provider = self.provider.as_ref().is_some_and(|provider| !provider.name.is_empty());
        let custom = self.action == Action::Custom;
        at.key("provider")
            .must(provider || !custom, Code::Required, || "action CUSTOM needs provider.name".to_owned());
        at.key("provider").must(self.provider.is_none() || custom, Code::Exclusive, || {
            "provider is only for action CUSTOM".to_owned()
        });
        let list = at.key("rules");
        list.must(self.rules.len() <= MAX_RULES, Code::OutOfRange, || {
            format!("at most {MAX_RULES} rules are allowed")
        });
        if self.rules.is_empty() && self.action != Action::Allow {
            list.tell(
                Code::NoEffect,
                format!("{} without rules matches nothing; for everything use rules: [{{}}]", self.action),
            );
        }
        list.each(&self.rules, |at, rule| {
            at.key("from").each(&rule.from, |at, from| match &from.source {
                Some(source) if *source != Source::default() => self::source(source, &at.key("source")),
                _ => at.key("source").tell(Code::Required, "say which sources; to allow all, leave from out"),
            });
            at.key("to").each(&rule.to, |at, to| match &to.operation {
                Some(operation) if *operation != Operation::default() => {
                    self::operation(operation, &at.key("operation"))
                }
                _ => at
                    .key("operation")
                    .tell(Code::Required, "say which operations; to allow all, leave to out"),
            });
            at.key("when").each(&rule.when, condition);
        });
    }
}

fn texts(list: &[String], at: &At<'_>) {
    at.each(list, |at, text| {
        rules::required(text, at, "a text that is not empty");
    });
}

fn source(source: &Source, at: &At<'_>) {
    for (field, list) in [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
    ] {
        texts(list, &at.key(field));
    }
    for (field, list) in [
        ("ipBlocks", &source.ip_blocks),
        ("notIpBlocks", &source.not_ip_blocks),
        ("remoteIpBlocks", &source.remote_ip_blocks),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
    ] {
        at.key(field).each(list, |at, block| rules::cidr(block, at));
    }
    let accounts = !source.service_accounts.is_empty() || !source.not_service_accounts.is_empty();
    let others = [&source.principals, &source.not_principals, &source.namespaces, &source.not_namespaces];
    if accounts && others.iter().any(|list| !list.is_empty()) {
        at.tell(Code::Exclusive, "serviceAccounts cannot be combined with principals or namespaces");
    }
    for (field, list) in
        [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)]
    {
        let at = at.key(field);
        at.must(list.len() <= 16, Code::OutOfRange, || "at most 16 are allowed".to_owned());
        at.each(list, |at, account| {
            at.must(!account.contains('*') && account.split('/').count() <= 2, Code::BadValue, || {
                format!("{account:?} is no account; use account or namespace/account, without wildcards")
            });
        });
    }
}

fn operation(operation: &Operation, at: &At<'_>) {
    for (field, list) in [
        ("hosts", &operation.hosts),
        ("notHosts", &operation.not_hosts),
        ("methods", &operation.methods),
        ("notMethods", &operation.not_methods),
    ] {
        texts(list, &at.key(field));
    }
    for (field, list) in [("ports", &operation.ports), ("notPorts", &operation.not_ports)] {
        at.key(field).each(list, |at, port| {
            let fits = port.parse::<u16>().is_ok_and(|port| port != 0);
            at.must(fits, Code::BadPort, || format!("{port:?} is no port; use 1 to 65535"));
        });
    }
    for (field, list) in [("paths", &operation.paths), ("notPaths", &operation.not_paths)] {
        texts(list, &at.key(field));
        at.key(field).each(list, path_template);
    }
}

/// `{*}` is one segment, `{**}` all that follow and only the last.
fn path_template(at: &At<'_>, path: &String) {
    if !path.contains(['{', '}']) {
        return;
    }
    let segments: Vec<_> = path.split('/').collect();
    let whole = segments.iter().all(|s| !s.contains(['{', '}', '*']) || matches!(*s, "{*}" | "{**}"));
    let last = segments.iter().rev().skip(1).all(|s| *s != "{**}");
    at.must(whole && last, Code::BadValue, || {
        format!("{path:?} is no path template; {{*}} is one whole segment, {{**}} only the last, and '*' cannot be mixed in")
    });
}

fn condition(at: &At<'_>, condition: &Condition) {
    let key = condition.key.as_str();
    let known = KEYS.iter().any(|known| match known.strip_suffix('[') {
        Some(_) => key.starts_with(known) && key.ends_with(']') && key.len() > known.len() + 1,
        None => key == *known,
    });
    at.key("key").must(known || key.starts_with("experimental.envoy.filters."), Code::BadValue, || {
        format!("{key:?} is no condition; use one of {}", KEYS.map(|k| k.trim_end_matches('[')).join(", "))
    });
    at.must(!condition.values.is_empty() || !condition.not_values.is_empty(), Code::Required, || {
        "set values or notValues".to_owned()
    });
    for (field, list) in [("values", &condition.values), ("notValues", &condition.not_values)] {
        let at = at.key(field);
        match key {
            "source.ip" | "remote.ip" | "destination.ip" => at.each(list, |at, block| rules::cidr(block, at)),
            "destination.port" => at.each(list, |at, port| {
                at.must(port.parse::<u16>().is_ok(), Code::BadPort, || format!("{port:?} is no port"));
            }),
            _ => texts(list, &at),
        }
    }
}
