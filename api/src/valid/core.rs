//! Rules of Kubernetes' own kinds: what an API server would refuse and a mesh or the laptop would stumble over.

use std::collections::BTreeSet;

use super::meta::{is_label, labels};
use super::{At, Check, rules};
use crate::core::{
    ConfigMap, Container, CronJob, DaemonSet, Deployment, EndpointSlice, Endpoints, Ingress, IngressClass,
    Job, Namespace, Node, PersistentVolumeClaimTemplate, Pod, PodTemplate, ReplicaSet, Secret, Service,
    ServiceAccount, StatefulSet,
};
use crate::finding::Code;
use crate::meta::{LabelSelector, Meta};

impl Check for Service {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        labels(&self.selector, &at.key("selector"));
        if self.is_external_name() {
            rules::required(&self.external_name, &at.key("externalName"), "the name that it stands for");
            return;
        }
        let list = at.key("ports");
        list.must(!self.ports.is_empty() || self.is_headless(), Code::Required, || {
            "add at least one port".to_owned()
        });
        rules::unique(self.ports.iter().map(|port| port.name.as_str()), &list, "port name");
        let mut seen = BTreeSet::new();
        list.each(&self.ports, |at, port| {
            rules::port_i32(port.port, &at.key("port"));
            let several = self.ports.len() > 1;
            at.key("name").must(!several || !port.name.is_empty(), Code::Required, || {
                "several ports need names".to_owned()
            });
            let transport = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
            at.key("port").must(seen.insert((port.port, transport)), Code::BadPort, || {
                format!("port {}/{transport} stands twice", port.port)
            });
            at.key("protocol").must(matches!(transport, "TCP" | "UDP" | "SCTP"), Code::BadValue, || {
                format!(
                    "{transport:?} is not TCP, UDP or SCTP; the application's protocol goes into appProtocol"
                )
            });
        });
        let ip = self.cluster_ip.as_str();
        at.key("clusterIP").must(matches!(ip, "" | "None") || rules::is_ip(ip), Code::BadAddress, || {
            format!("{ip:?} is no address")
        });
    }
}

impl Check for Pod {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        pod(self, &[], at);
    }
}

impl Check for Deployment {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        workload(self.selector.as_ref(), &self.template, at);
        rules::not_negative(self.replicas.unwrap_or(1), &at.key("replicas"));
    }
}

impl Check for ReplicaSet {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        workload(self.selector.as_ref(), &self.template, at);
        rules::not_negative(self.replicas.unwrap_or(1), &at.key("replicas"));
    }
}

impl Check for StatefulSet {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        workload_with(self.selector.as_ref(), &self.template, &self.volume_claim_templates, at);
        rules::not_negative(self.replicas.unwrap_or(1), &at.key("replicas"));
    }
}

impl Check for DaemonSet {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        workload(self.selector.as_ref(), &self.template, at);
    }
}

impl Check for Job {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        pod(&self.template.spec, &[], &at.key("template").key("spec"));
    }
}

impl Check for CronJob {
    fn rules(&self, at: &At<'_>, meta: &Meta) {
        rules::required(&self.schedule, &at.key("schedule"), "when to run");
        self.job_template.spec.rules(&at.key("jobTemplate").key("spec"), meta);
    }
}

impl Check for EndpointSlice {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        let named = self.address_type == "FQDN";
        at.key("endpoints").each(&self.endpoints, |at, endpoint| {
            at.key("addresses").each(&endpoint.addresses, |at, address| {
                at.must(named || rules::is_ip(address), Code::BadAddress, || {
                    format!("{address:?} is no address")
                });
            });
        });
    }
}

impl Check for Endpoints {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        at.key("subsets").each(&self.subsets, |at, subset| {
            at.key("addresses").each(&subset.addresses, |at, address| {
                at.key("ip").must(rules::is_ip(&address.ip), Code::BadAddress, || {
                    format!("{:?} is no address", address.ip)
                });
            });
        });
    }
}

impl Check for ConfigMap {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        for key in self.data.keys().filter(|key| self.binary_data.contains_key(*key)) {
            at.key("data").key(key).tell(Code::Duplicate, format!("{key:?} is also in binaryData"));
        }
    }
}

impl Check for Ingress {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        at.key("rules").each(&self.rules, |at, rule| {
            if !rule.host.is_empty() {
                rules::wildcard_host(&rule.host, &at.key("host"));
            }
            let Some(http) = &rule.http else { return };
            at.key("http").key("paths").each(&http.paths, |at, path| {
                let kind = path.path_type.as_deref().unwrap_or_default();
                at.key("pathType").must(
                    matches!(kind, "Exact" | "Prefix" | "ImplementationSpecific"),
                    Code::BadValue,
                    || format!("{kind:?} is not Exact, Prefix or ImplementationSpecific"),
                );
                at.key("backend")
                    .must(path.backend.is_some(), Code::Required, || "set backend.service".to_owned());
            });
        });
    }
}

macro_rules! without_rules {
    ($($kind:ident)*) => { $(
        impl Check for $kind {
            fn rules(&self, _: &At<'_>, _: &Meta) {}
        }
    )* };
}

without_rules! { IngressClass Namespace Node Secret ServiceAccount }

fn workload(selector: Option<&LabelSelector>, template: &PodTemplate, at: &At<'_>) {
    workload_with(selector, template, &[], at);
}

/// `claims` are volumes that each pod gets of its own.
fn workload_with(
    selector: Option<&LabelSelector>,
    template: &PodTemplate,
    claims: &[PersistentVolumeClaimTemplate],
    at: &At<'_>,
) {
    match selector {
        None => at.key("selector").tell(Code::Required, "set selector.matchLabels to labels of the template"),
        Some(selector) => {
            at.key("selector").must(selector.matches(&template.metadata.labels), Code::BadLabel, || {
                "the selector does not match the labels of the template; make them equal".to_owned()
            });
        }
    }
    let at = at.key("template");
    labels(&template.metadata.labels, &at.key("metadata").key("labels"));
    pod(&template.spec, claims, &at.key("spec"));
}

fn pod(pod: &Pod, claims: &[PersistentVolumeClaimTemplate], at: &At<'_>) {
    rules::some(&pod.containers, &at.key("containers"), "container");
    let claims = claims.iter().map(|claim| claim.metadata.name.as_str());
    let volumes: BTreeSet<_> = pod.volumes.iter().map(|volume| volume.name.as_str()).chain(claims).collect();
    rules::unique(pod.volumes.iter().map(|volume| volume.name.as_str()), &at.key("volumes"), "volume");
    for (field, list) in [("containers", &pod.containers), ("initContainers", &pod.init_containers)] {
        let at = at.key(field);
        rules::unique(list.iter().map(|container| container.name.as_str()), &at, "container");
        at.each(list, |at, container| self::container(container, &volumes, at));
    }
}

fn container(container: &Container, volumes: &BTreeSet<&str>, at: &At<'_>) {
    at.key("name").must(is_label(&container.name), Code::BadName, || {
        format!("{:?} is no container name; use lower-case letters, digits and '-'", container.name)
    });
    at.key("ports").each(&container.ports, |at, port| {
        rules::port_i32(port.container_port, &at.key("containerPort"));
    });
    at.key("env").each(&container.env, |at, var| {
        rules::required(&var.name, &at.key("name"), "the name of the variable");
        rules::exclusive(&[("value", !var.value.is_empty()), ("valueFrom", var.value_from.is_some())], at);
    });
    at.key("volumeMounts").each(&container.volume_mounts, |at, mount| {
        at.key("name").must(volumes.contains(mount.name.as_str()), Code::BadReference, || {
            format!("no volume is called {:?}; add it to volumes", mount.name)
        });
        rules::required(&mount.mount_path, &at.key("mountPath"), "where the volume appears");
    });
}
