//! The page of a pod.
//!
//! In: the pod as an API server shows it, the mesh on paper, what its proxy has. Out: text.

use api::meta::labels_match;
use api::security::{MtlsMode, PeerAuthentication};
use pilot::model::identity::Mode;
use pilot::model::workloads::Workload;
use pilot::offline::Paper;
use serde_json::Value;

use super::common::{LINE, name};
use super::edge;
use super::rules::About;
use crate::client::Pod;

/// What else is known of a pod.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Policies of the RBAC filters that its proxy has: none if nobody could ask it.
    pub policies: Vec<String>,
    /// Nothing is said about a pod without a proxy.
    pub ignore_unmeshed: bool,
}

/// The whole page. `namespace` needs no mention.
pub fn pod(paper: &Paper, value: &Value, told: &Told, namespace: &str) -> String {
    let own = Pod::read(value);
    let mut out = head(value, &own, namespace);
    if !own.meshed {
        if !told.ignore_unmeshed {
            out.push_str(&format!(
                "WARNING: {} is not part of the mesh: it has no proxy beside it\n",
                own.full()
            ));
        }
        return out;
    }
    out.push_str(&suggestions(&own));
    let Some(workload) = paper.snapshot.workloads.named(&own.namespace, &own.name) else {
        out.push_str(&format!("WARNING: {} has no address yet\n", own.full()));
        return out;
    };
    let about = About { paper, namespace: &own.namespace, pods: vec![workload] };
    let scope = paper.snapshot.scopes.of(&own.namespace);
    let mine: Vec<_> = scope
        .services
        .iter()
        .filter(|found| {
            let service = &found.service;
            service.namespace == own.namespace
                && !service.selector.is_empty()
                && labels_match(&service.selector, &workload.labels)
        })
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    for found in mine.iter().filter(|found| seen.insert((&found.service.namespace, &found.service.name))) {
        out.push_str(LINE);
        out.push_str(&about.service(found));
    }
    if mine.is_empty() {
        out.push_str(LINE);
        out.push_str("no Service selects it: nobody in the mesh can call it by a name\n");
    }
    if !told.policies.is_empty() {
        out.push_str(&format!("RBAC policies: {}\n", told.policies.join(", ")));
    }
    out.push_str(LINE);
    out.push_str(&authentication(paper, workload, namespace));
    let mut outside = String::new();
    for found in &mine {
        outside.push_str(&edge::exposed(paper, found, namespace));
    }
    if !edge::has_gateways(paper) {
        out.push_str("Skipping Gateway information (no ingress gateway pods)\n");
    } else if !outside.is_empty() {
        out.push_str(&format!("\n{outside}"));
    }
    out
}

fn head(value: &Value, own: &Pod, namespace: &str) -> String {
    let mut out = format!("Pod: {}\n", name(&own.name, &own.namespace, namespace));
    let meta = &value["metadata"];
    let revision =
        meta["annotations"]["istio.io/rev"].as_str().or_else(|| meta["labels"]["istio.io/rev"].as_str());
    if let Some(revision) = revision {
        out.push_str(&format!("   Pod Revision: {revision}\n"));
    }
    let mut ports = Vec::new();
    for list in ["containers", "initContainers"] {
        for container in value["spec"][list].as_array().into_iter().flatten() {
            let label = container["name"].as_str().unwrap_or_default();
            for port in container["ports"].as_array().into_iter().flatten() {
                let number = port["containerPort"].as_u64().unwrap_or_default();
                let udp = if port["protocol"] == "UDP" { "/UDP" } else { "" };
                ports.push(format!("{number}{udp} ({label})"));
            }
        }
    }
    match ports.as_slice() {
        [] => out.push_str("   Pod does not expose ports\n"),
        ports => {
            out.push_str(&format!("   Pod Ports: {}\n", ports.join(", ")));
        }
    }
    let phase = value["status"]["phase"].as_str().unwrap_or("Running");
    if phase != "Running" {
        out.push_str(&format!("   WARNING: the pod is not running, it is {phase}\n"));
    } else if !own.ready {
        out.push_str("   WARNING: the pod is not ready: Services leave it out\n");
    }
    out
}

fn suggestions(own: &Pod) -> String {
    let has = |names: &[&str]| names.iter().any(|name| own.labels.contains_key(*name));
    let mut out = String::new();
    if !has(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]) {
        out.push_str("Suggestion: add required service name label for telemetry: app, app.kubernetes.io/name or service.istio.io/canonical-name\n");
    }
    if !has(&["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]) {
        out.push_str("Suggestion: add required service revision label for telemetry: version, app.kubernetes.io/version or service.istio.io/canonical-revision\n");
    }
    out
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Disable => "DISABLE",
        Mode::Permissive => "PERMISSIVE",
        Mode::Strict => "STRICT",
    }
}

/// What holds for connections to the pod, and by which objects.
fn authentication(paper: &Paper, workload: &Workload, namespace: &str) -> String {
    let identity = &paper.snapshot.identity;
    let root = &paper.snapshot.mesh.root_namespace;
    let usual = identity.other_ports(&workload.namespace, &workload.labels);
    let mut out = format!("Effective PeerAuthentication:\n   Workload mTLS mode: {}\n", word(usual));
    let mut applied = Vec::new();
    let mut ports = std::collections::BTreeMap::new();
    for policy in paper.world.all::<PeerAuthentication>() {
        let within = *policy.meta.namespace == *workload.namespace || policy.meta.namespace == *root;
        let selected =
            policy.spec.selector.as_ref().is_none_or(|one| labels_match(&one.match_labels, &workload.labels));
        let says = policy.spec.mtls.as_ref().is_some_and(|mtls| mtls.mode != MtlsMode::Unset);
        if within && selected && (says || !policy.spec.port_level_mtls.is_empty()) {
            applied.push(name(&policy.meta.name, &policy.meta.namespace, namespace));
            for number in policy.spec.port_level_mtls.keys().filter_map(|port| port.parse::<u16>().ok()) {
                ports.insert(number, identity.mode(&workload.namespace, &workload.labels, number));
            }
        }
    }
    ports.retain(|_, mode| *mode != usual);
    if !ports.is_empty() {
        out.push_str("   Port Level mTLS mode:\n");
        for (number, mode) in ports {
            out.push_str(&format!("      {number}: {}\n", word(mode)));
        }
    }
    if !applied.is_empty() {
        out.push_str(&format!("Applied PeerAuthentication:\n   {}\n", applied.join(", ")));
    }
    out
}
