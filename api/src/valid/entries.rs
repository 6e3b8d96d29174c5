//! Rules of ServiceEntry, WorkloadEntry and WorkloadGroup.

use std::collections::BTreeSet;

use super::meta::labels;
use super::{At, Check, rules};
use crate::finding::Code;
use crate::host;
use crate::meta::Meta;
use crate::networking::{Resolution, ServiceEntry, WorkloadEntry, WorkloadGroup};
use crate::port::Protocol;

/// What a port of a ServiceEntry may say.
const PROTOCOLS: [&str; 13] = [
    "HTTP",
    "HTTPS",
    "GRPC",
    "GRPC-WEB",
    "HTTP2",
    "MONGO",
    "TCP",
    "TLS",
    "UDP",
    "REDIS",
    "MYSQL",
    "HTTP_PROXY",
    "HBONE",
];

impl Check for ServiceEntry {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::some(&self.hosts, &at.key("hosts"), "host");
        rules::within(self.hosts.len().try_into().unwrap_or(i64::MAX), 0, 256, &at.key("hosts"));
        rules::unique(self.hosts.iter().map(String::as_str), &at.key("hosts"), "host");
        at.key("hosts").each(&self.hosts, |at, name| {
            at.must(name != "*", Code::BadHost, || "'*' would take every host; name the hosts".to_owned());
            rules::wildcard_host(name, at);
        });
        self.addresses(at);
        self.ports(at);
        self.resolution(at);
        rules::exclusive(
            &[
                ("endpoints", !self.endpoints.is_empty()),
                ("workloadSelector", self.workload_selector.is_some()),
            ],
            at,
        );
        if let Some(selector) = &self.workload_selector {
            labels(&selector.labels, &at.key("workloadSelector").key("labels"));
        }
        rules::export_to(&self.export_to, &at.key("exportTo"));
    }
}

impl ServiceEntry {
    fn addresses(&self, at: &At<'_>) {
        at.key("addresses").each(&self.addresses, |at, address| {
            rules::cidr(address, at);
            let network = address.contains('/');
            at.must(
                !network || matches!(self.resolution, Resolution::None | Resolution::Static),
                Code::BadAddress,
                || {
                    format!(
                        "a network needs resolution NONE or STATIC; with {} use single addresses",
                        self.resolution
                    )
                },
            );
        });
        let tcp = |protocol: &str| !matches!(Protocol::parse(protocol), p if p.is_http() || p.is_tls());
        let by_port_only = self.addresses.is_empty() && self.ports.iter().any(|port| tcp(&port.protocol));
        if by_port_only && self.resolution == Resolution::None {
            at.tell(
                Code::ServiceEntryAddressesRequired,
                "without addresses, TCP is told apart by port alone; add addresses",
            );
        }
    }

    fn ports(&self, at: &At<'_>) {
        let at = at.key("ports");
        if self.ports.is_empty() {
            at.tell(Code::NoEffect, "without ports no traffic is taken; add ports");
        }
        rules::unique(self.ports.iter().map(|port| port.name.as_str()), &at, "port name");
        let mut numbers = BTreeSet::new();
        at.each(&self.ports, |at, port| {
            if rules::port(port.number, &at.key("number")) {
                at.key("number").must(numbers.insert(port.number), Code::BadPort, || {
                    format!("port {} stands twice", port.number)
                });
            }
            rules::required(&port.name, &at.key("name"), "a name for the port");
            rules::port_or_none(port.target_port, &at.key("targetPort"));
            let word = port.protocol.to_ascii_uppercase();
            at.key("protocol").must(
                word.is_empty() || PROTOCOLS.contains(&word.as_str()),
                Code::BadValue,
                || format!("{:?} is no protocol; use one of {}", port.protocol, PROTOCOLS.join(", ")),
            );
        });
    }

    fn resolution(&self, at: &At<'_>) {
        let endpoints = at.key("endpoints");
        let none = self.endpoints.is_empty();
        match self.resolution {
            Resolution::None => {
                endpoints.must(none, Code::Exclusive, || {
                    "resolution NONE takes no endpoints; use STATIC or DNS".to_owned()
                });
            }
            Resolution::Static => {
                endpoints.must(!none || self.workload_selector.is_some(), Code::Required, || {
                    "resolution STATIC needs endpoints or a workloadSelector".to_owned()
                });
                endpoints.each(&self.endpoints, |at, endpoint| {
                    let fits = rules::is_ip(&endpoint.address)
                        || is_unix(&endpoint.address)
                        || endpoint.address.is_empty();
                    at.key("address").must(fits, Code::BadAddress, || {
                        format!(
                            "{:?} is a name; resolution STATIC needs addresses, DNS takes names",
                            endpoint.address
                        )
                    });
                });
            }
            Resolution::Dns | Resolution::DnsRoundRobin => {
                let single = self.resolution == Resolution::DnsRoundRobin;
                endpoints.must(!single || self.endpoints.len() <= 1, Code::Exclusive, || {
                    "resolution DNS_ROUND_ROBIN takes one endpoint; use DNS for several".to_owned()
                });
                at.key("hosts").each(&self.hosts, |at, name| {
                    let resolvable = !none || self.workload_selector.is_some() || !name.starts_with('*');
                    at.must(resolvable, Code::BadHost, || {
                        format!("{name:?} cannot be looked up; add endpoints, or use resolution NONE or DYNAMIC_DNS")
                    });
                });
            }
            Resolution::DynamicDns => {
                endpoints
                    .must(none, Code::Exclusive, || "resolution DYNAMIC_DNS takes no endpoints".to_owned());
                at.key("hosts").each(&self.hosts, |at, name| {
                    at.must(name.starts_with('*'), Code::BadHost, || {
                        format!("{name:?} has no wildcard; resolution DYNAMIC_DNS is for *.suffix, use DNS")
                    });
                });
            }
        }
        let names: BTreeSet<_> = self.ports.iter().map(|port| port.name.as_str()).collect();
        endpoints.each(&self.endpoints, |at, endpoint| {
            workload(endpoint, at);
            for name in endpoint.ports.keys() {
                at.key("ports").key(name).must(names.contains(name.as_str()), Code::BadPort, || {
                    format!("{name:?} is not a name in spec.ports")
                });
            }
        });
    }
}

impl Check for WorkloadEntry {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        workload(self, at);
    }
}

impl Check for WorkloadGroup {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        if let Some(meta) = &self.metadata {
            labels(&meta.labels, &at.key("metadata").key("labels"));
        }
        match &self.template {
            Some(template) => attributes(template, &at.key("template")),
            None => at.key("template").tell(Code::Required, "set template; it may be {}"),
        }
        let Some(probe) = &self.probe else { return };
        let at = at.key("probe");
        let ways = [
            ("httpGet", probe.http_get.is_some()),
            ("tcpSocket", probe.tcp_socket.is_some()),
            ("exec", probe.exec.is_some()),
            ("grpc", probe.grpc.is_some()),
        ];
        rules::exactly_one(&ways, &at);
        for (field, value) in [
            ("initialDelaySeconds", probe.initial_delay_seconds),
            ("timeoutSeconds", probe.timeout_seconds),
            ("periodSeconds", probe.period_seconds),
            ("successThreshold", probe.success_threshold),
            ("failureThreshold", probe.failure_threshold),
        ] {
            rules::not_negative(value, &at.key(field));
        }
        probe.http_get.as_ref().inspect(|get| {
            rules::port(get.port, &at.key("httpGet").key("port"));
        });
        probe.tcp_socket.as_ref().inspect(|socket| {
            rules::port(socket.port, &at.key("tcpSocket").key("port"));
        });
        probe.exec.as_ref().inspect(|exec| {
            rules::some(&exec.command, &at.key("exec").key("command"), "word");
        });
    }
}

fn is_unix(address: &str) -> bool {
    address.strip_prefix("unix://").is_some_and(|path| path.starts_with(['/', '@']) && !path.ends_with('/'))
}

fn workload(entry: &WorkloadEntry, at: &At<'_>) {
    let address = at.key("address");
    if entry.address.is_empty() {
        address.must(!entry.network.is_empty(), Code::Required, || "set address, or network".to_owned());
    } else {
        let fits =
            is_unix(&entry.address) || rules::is_ip(&entry.address) || host::is_dns_name(&entry.address);
        address.must(fits, Code::BadAddress, || {
            format!("{:?} is no address, name or unix:///path", entry.address)
        });
    }
    let ports = at.key("ports");
    ports.must(!is_unix(&entry.address) || entry.ports.is_empty(), Code::Exclusive, || {
        "a socket path has no ports".to_owned()
    });
    attributes(entry, at);
}

fn attributes(entry: &WorkloadEntry, at: &At<'_>) {
    for (name, number) in &entry.ports {
        rules::port(*number, &at.key("ports").key(name));
    }
    labels(&entry.labels, &at.key("labels"));
    let parts = entry.locality.split('/').count();
    at.key("locality").must(parts <= 3, Code::BadValue, || "use region/zone/subzone".to_owned());
}
