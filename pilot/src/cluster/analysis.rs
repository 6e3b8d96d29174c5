//! What is wrong with an object, in its status: `status.validationMessages`, as Istio's analysis in the cluster writes it.
//!
//! In: the published World and its findings. Out: patches of the subresource `status`, where it does not say what was
//! found, with `observedGeneration`. A status is no change to what the object means: nothing is told to proxies. Only where
//! `PILOT_ENABLE_ANALYSIS` asks for it, by the leader; called by `citizen`. What has to be written is decided by `due`,
//! which is pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::kind::Family;
use api::{AnyObject, Finding, Findings, Key, Severity};
use base::Live;
use futures_util::{StreamExt, stream};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use super::Cluster;
use super::access::is;
use crate::world::World;

/// Writes at once.
const AT_ONCE: usize = 4;
/// The object went meanwhile.
const NOT_FOUND: u16 = 404;
/// Where codes are explained.
const EXPLAINED: &str = "https://istio.io/latest/docs/reference/config/analysis";

/// Keeps statuses right for as long as it is polled, looking every `interval`.
pub(super) async fn keep(
    cluster: Cluster,
    world: Arc<Live<World>>,
    findings: Arc<Live<Findings>>,
    interval: Duration,
) {
    loop {
        let writes = due(&world.load(), &findings.load());
        let writes = writes.into_iter().map(|write| apply(&cluster, write));
        stream::iter(writes).buffer_unordered(AT_ONCE).collect::<()>().await;
        tokio::time::sleep(interval).await;
    }
}

/// A status to write.
#[derive(Debug, PartialEq)]
struct Write {
    key: Key,
    version: String,
    status: Value,
}

async fn apply(cluster: &Cluster, write: Write) {
    let Write { key, version, status } = write;
    let row = key.kind.row();
    let version = version.rsplit('/').next().unwrap_or_default();
    let kind = GroupVersionKind::gvk(row.group, version, row.name);
    let resource = ApiResource::from_gvk_with_plural(&kind, row.plural);
    let objects: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &key.namespace, &resource);
    let patch = Patch::Merge(json!({ "status": status }));
    match objects.patch_status(&key.name, &PatchParams::default(), &patch).await {
        Ok(_) => tracing::debug!(object = %key, "status written"),
        Err(error) if is(&error, NOT_FOUND) => {}
        Err(error) => tracing::warn!(object = %key, %error, "its status could not be written; trying again"),
    }
}

/// Statuses that do not say what was found.
fn due(world: &World, findings: &Findings) -> Vec<Write> {
    let mut found: BTreeMap<&Key, Vec<Value>> = BTreeMap::new();
    for finding in findings.iter() {
        if let Some(key) = &finding.object {
            let told = message(finding);
            let messages = found.entry(key).or_default();
            if !messages.contains(&told) {
                messages.push(told);
            }
        }
    }
    let ours = |object: &&Arc<AnyObject>| {
        object.kind().row().family == Family::Mesh && object.kind().row().group.ends_with("istio.io")
    };
    let mut out = Vec::new();
    for object in world.objects().filter(ours) {
        let key = object.key();
        let wanted = found.remove(&key).unwrap_or_default();
        let says = object.status().and_then(|status| status.get("validationMessages"));
        let says = says.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if says == wanted {
            continue;
        }
        let mut status =
            json!({ "validationMessages": if wanted.is_empty() { Value::Null } else { wanted.into() } });
        if let Some(generation) = object.meta().generation {
            status["observedGeneration"] = generation.into();
        }
        out.push(Write { key, version: object.type_words().0.to_owned(), status });
    }
    out
}

/// A finding as a message. Codes of this mesh's own are explained by their description only.
fn message(finding: &Finding) -> Value {
    let code = finding.code.id();
    let level = match finding.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
        Severity::Info => "INFO",
    };
    let mut out = json!({ "level": level, "type": { "code": code, "name": finding.code.name() } });
    if code.starts_with("IST") {
        out["documentationUrl"] =
            format!("{EXPLAINED}/{}/?ref=status-controller", code.to_lowercase()).into();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use crate::source::Change;

    const ROUTE: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
        metadata: {name: a, namespace: shop, generation: 3}\n\
        spec: {hosts: [a.example.com], gateways: [none], http: [{directResponse: {status: 204}}]}\n";

    #[test]
    fn what_was_found_is_written_once_and_taken_back() {
        let object = api::parse("", ROUTE).objects.remove(0);
        let mut world = World::of([object.clone()]);
        let (_, findings) = model::resolve(None, &world);
        let writes = due(&world, &findings);
        let [write] = &writes[..] else { panic!("{writes:?}") };
        assert_eq!(
            (write.key.to_string().as_str(), &write.status["observedGeneration"]),
            ("VirtualService shop/a", &json!(3))
        );
        let said = &write.status["validationMessages"][0];
        assert_eq!(said["type"]["code"], "IST0101");
        assert!(said["documentationUrl"].as_str().unwrap().contains("/ist0101/"), "{said}");

        let mut told = object;
        *told.status_mut() = Some(write.status.clone());
        world.apply([Change::Apply(Arc::new(told))]);
        assert_eq!(due(&world, &findings), [], "it says so already");
        let back = due(&world, &Findings::new());
        assert_eq!(back[0].status["validationMessages"], Value::Null);
    }
}
