//! The page of a Service.
//!
//! In: its name, the mesh on paper. Out: text, or nothing if there is no such Service.

use api::meta::labels_match;
use pilot::model::workloads::Workload;
use pilot::offline::Paper;

use super::common::LINE;
use super::edge;
use super::rules::About;

/// The whole page. `own` needs no mention.
pub fn service(
    paper: &Paper,
    name: &str,
    namespace: &str,
    own: &str,
    ignore_unmeshed: bool,
) -> Option<String> {
    let scope = paper.snapshot.scopes.of(namespace);
    let found = scope
        .services
        .iter()
        .find(|found| found.service.name == name && found.service.namespace == namespace)?;
    let selector = &found.service.selector;
    let pods: Vec<&Workload> = paper
        .snapshot
        .workloads
        .within(namespace)
        .filter(|pod| !selector.is_empty() && labels_match(selector, &pod.labels))
        .map(|pod| &**pod)
        .collect();
    let without: Vec<&str> = pods.iter().filter(|pod| !pod.proxied).map(|pod| &*pod.name).collect();
    let mut out = String::new();
    if pods.is_empty() {
        out.push_str("WARNING: no pod is behind the Service\n");
    } else if !without.is_empty() && !ignore_unmeshed {
        out.push_str(&format!("WARNING: not part of the mesh, they have no proxy: {}\n", without.join(", ")));
    }
    let about = About { paper, namespace: own, pods };
    out.push_str(&about.service(found));
    if !edge::has_gateways(paper) {
        out.push_str("Skipping Gateway information (no ingress gateway pods)\n");
        return Some(out);
    }
    let outside = edge::exposed(paper, found, own);
    if !outside.is_empty() {
        out.push_str(LINE);
        out.push_str(&outside);
    }
    Some(out)
}
