//! Whether what was applied works, and if not, why not.
//!
//! In: Deployments, DaemonSets, webhooks, definitions by id; watches of them. Out: an end once they are ready; meanwhile
//! the reason in words: no place on a node, an image that cannot be had, a program that ends, with its last lines.
//! Called by `install`, which bounds the time.

use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, LogParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;

use super::objects::{Id, Objects};

/// Between two looks at the pods of what is not ready: only for telling why.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for the way to istiod.
const REACHED: Duration = Duration::from_secs(15);
/// Between two tries of it.
const AGAIN: Duration = Duration::from_millis(100);
/// Lines of a program that ended.
const LAST_LINES: i64 = 8;

/// Waits until an object is as `done` wants it.
///
/// # Errors
/// The API server refuses to be watched.
pub(super) async fn until(objects: &Objects, id: &Id, done: impl Fn(&Value) -> bool) -> Result<()> {
    let api = objects.api(id.row, &id.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", id.name));
    let mut events = watcher::watcher(api, config).default_backoff().applied_objects().boxed();
    loop {
        match events.try_next().await {
            Ok(Some(object)) => {
                if done(&serde_json::to_value(object)?) {
                    return Ok(());
                }
            }
            Ok(None) => return Err(anyhow!("the watch of {id} has ended")),
            // Lost connections are made anew; a refusal stays one.
            Err(
                watcher::Error::InitialListFailed(kube::Error::Api(status))
                | watcher::Error::WatchError(status),
            ) if status.code == 403 => {
                return Err(objects.cluster.explain(&format!("watch {id}"), kube::Error::Api(status)));
            }
            Err(_) => {}
        }
    }
}

/// Waits for a Deployment or DaemonSet; `told` hears why it is not ready, whenever that changes.
///
/// # Errors
/// As above.
pub(super) async fn rolled_out(objects: &Objects, id: &Id, told: impl Fn(&str)) -> Result<()> {
    let ready = until(objects, id, is_rolled_out);
    let mut ready = std::pin::pin!(ready);
    loop {
        tokio::select! {
            end = &mut ready => return end,
            () = tokio::time::sleep(LOOK) => {
                if let Some(reason) = why_not(objects, id).await {
                    told(&reason);
                }
            }
        }
    }
}

/// Waits until the API server reaches the webhooks that a Deployment's pods go through, by having such a pod made and not kept. Nodes
/// learn of istiod's address a moment after it is ready, and a pod that is refused meanwhile is only tried again after a pause that
/// doubles each time. Ends after [`REACHED`] at the latest: then the Deployment itself will say what is wrong.
pub(super) async fn reached(objects: &Objects, deployment: &Value) {
    let metadata = &deployment["spec"]["template"]["metadata"];
    let pod = serde_json::json!({"metadata": {"generateName": "reached-", "labels": metadata["labels"],
        "annotations": metadata["annotations"]}, "spec": deployment["spec"]["template"]["spec"]});
    let Ok(pod) = serde_json::from_value::<Pod>(pod) else { return };
    let namespace = deployment["metadata"]["namespace"].as_str().unwrap_or("default");
    let api: Api<Pod> = Api::namespaced(objects.cluster.client().clone(), namespace);
    let asked = async {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        while let Err(kube::Error::Api(status)) = api.create(&dry, &pod).await {
            if !status.message.contains("failed calling webhook") {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::time::timeout(REACHED, asked).await.ok();
}

/// All replicas of the newest template are available, and no others are left.
fn is_rolled_out(object: &Value) -> bool {
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let status = &object["status"];
    if number(&status["observedGeneration"]) < number(&object["metadata"]["generation"]) {
        return false;
    }
    if object["kind"] == "DaemonSet" {
        let wanted = number(&status["desiredNumberScheduled"]);
        return number(&status["updatedNumberScheduled"]) == wanted
            && number(&status["numberAvailable"]) == wanted;
    }
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    number(&status["updatedReplicas"]) == wanted
        && number(&status["replicas"]) == wanted
        && number(&status["availableReplicas"]) == wanted
}

/// Why a Deployment is not ready, in one line; none if nobody knows.
pub(super) async fn why_not(objects: &Objects, id: &Id) -> Option<String> {
    let object = objects.get(id).await.ok().flatten()?;
    let labels = object["spec"]["selector"]["matchLabels"].as_object()?;
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let pods: Api<Pod> = Api::namespaced(objects.cluster.client().clone(), &id.namespace);
    let list = pods.list(&ListParams::default().labels(&labels.join(","))).await.ok()?;
    let mut found: Vec<Value> = list.items.iter().filter_map(|pod| serde_json::to_value(pod).ok()).collect();
    // The newest one is what is waited for.
    found.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned());
    found.reverse();
    let reason = found.iter().find_map(pod_reason);
    reason.or_else(|| found.is_empty().then(|| no_pods(&object)).flatten())
}

/// Why there are no pods at all: a quota, a webhook, a missing account.
fn no_pods(object: &Value) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array()?;
    let failed = conditions.iter().find(|one| one["type"] == "ReplicaFailure" && one["status"] == "True")?;
    Some(format!("its pods cannot be made: {}", failed["message"].as_str()?))
}

/// Why a pod is not ready.
fn pod_reason(pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str()?;
    let conditions = || pod["status"]["conditions"].as_array().into_iter().flatten();
    let is =
        |kind: &str, status: &str| conditions().any(|one| one["type"] == kind && one["status"] == status);
    if is("Ready", "True") {
        return None;
    }
    if let Some(condition) =
        conditions().find(|one| one["type"] == "PodScheduled" && one["status"] == "False")
    {
        let message = condition["message"].as_str().unwrap_or("no node fits");
        return Some(format!("pod {name} has no node: {message}"));
    }
    let statuses = ["initContainerStatuses", "containerStatuses"].map(|list| pod["status"][list].as_array());
    for status in statuses.into_iter().flatten().flatten() {
        let container = status["name"].as_str().unwrap_or_default();
        let waiting = &status["state"]["waiting"];
        match waiting["reason"].as_str() {
            Some("ContainerCreating" | "PodInitializing") | None => {}
            Some(reason @ "CrashLoopBackOff") => {
                let code = &status["lastState"]["terminated"]["exitCode"];
                return Some(format!(
                    "pod {name}: container {container} ends with {code} again and again ({reason})"
                ));
            }
            Some(reason) => {
                let message = waiting["message"].as_str().unwrap_or_default();
                return Some(
                    format!("pod {name}: container {container}: {reason} {message}").trim_end().to_owned(),
                );
            }
        }
        if let Some(code) = status["state"]["terminated"]["exitCode"].as_i64().filter(|code| *code != 0) {
            return Some(format!("pod {name}: container {container} has ended with {code}"));
        }
    }
    let running = pod["status"]["phase"] == "Running";
    running.then(|| format!("pod {name} runs and is not ready yet"))
}

/// The last lines of a container of a Deployment that ended, for the final message.
pub(super) async fn last_words(objects: &Objects, id: &Id) -> Option<String> {
    let object = objects.get(id).await.ok().flatten()?;
    let labels = object["spec"]["selector"]["matchLabels"].as_object()?;
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let pods: Api<Pod> = Api::namespaced(objects.cluster.client().clone(), &id.namespace);
    for pod in pods.list(&ListParams::default().labels(&labels.join(","))).await.ok()?.items {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let statuses = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
        for container in statuses.filter(|container| container.restart_count > 0) {
            let params = LogParams {
                container: Some(container.name.clone()),
                previous: true,
                tail_lines: Some(LAST_LINES),
                ..LogParams::default()
            };
            if let Ok(log) = pods.logs(&name, &params).await
                && !log.trim().is_empty()
            {
                return Some(format!(
                    "last lines of {name}, container {}:\n{}",
                    container.name,
                    log.trim_end()
                ));
            }
        }
    }
    None
}

/// A definition that the API server serves.
pub(super) fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "Established" && one["status"] == "True")
}

/// A webhook configuration into which istiod has written its certificate authority.
pub(super) fn has_authority(configuration: &Value) -> bool {
    let webhooks = configuration["webhooks"].as_array();
    webhooks
        .into_iter()
        .flatten()
        .all(|webhook| webhook["clientConfig"]["caBundle"].as_str().is_some_and(|bundle| !bundle.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_ends_when_only_new_replicas_are_left() {
        let deployment = |status: Value| json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        let done =
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert!(is_rolled_out(&deployment(done.clone())));
        for (field, value) in
            [("observedGeneration", 1), ("replicas", 3), ("updatedReplicas", 1), ("availableReplicas", 1)]
        {
            let mut status = done.clone();
            status[field] = value.into();
            assert!(!is_rolled_out(&deployment(status)), "{field}");
        }
        let daemons = json!({"kind": "DaemonSet", "status": {"desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1}});
        assert!(is_rolled_out(&daemons));
    }

    #[test]
    fn reasons_are_words_of_the_cluster() {
        let pod = |status: Value| json!({"metadata": {"name": "istiod-x"}, "status": status});
        let unscheduled = pod(
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]}),
        );
        assert_eq!(pod_reason(&unscheduled).unwrap(), "pod istiod-x has no node: 0/1 nodes are available");
        let waiting = |reason: &str| {
            pod(json!({"phase": "Pending", "containerStatuses": [{"name": "discovery",
            "state": {"waiting": {"reason": reason, "message": "no such image"}},
            "lastState": {"terminated": {"exitCode": 3}}}]}))
        };
        assert_eq!(
            pod_reason(&waiting("ErrImagePull")).unwrap(),
            "pod istiod-x: container discovery: ErrImagePull no such image"
        );
        assert!(pod_reason(&waiting("CrashLoopBackOff")).unwrap().contains("ends with 3"));
        assert_eq!(pod_reason(&waiting("ContainerCreating")), None);
        let ready = pod(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}));
        assert_eq!(pod_reason(&ready), None);
        assert!(pod_reason(&pod(json!({"phase": "Running"}))).unwrap().contains("not ready yet"));
        let deployment = json!({"status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]}});
        assert_eq!(no_pods(&deployment).unwrap(), "its pods cannot be made: quota");
    }

    #[test]
    fn webhooks_and_definitions() {
        let webhook = |bundles: &[&str]| json!({"webhooks": bundles.iter().map(|bundle| json!({"clientConfig": {"caBundle": bundle}})).collect::<Vec<_>>()});
        assert!(has_authority(&webhook(&["a", "b"])) && !has_authority(&webhook(&["a", ""])));
        assert!(is_established(
            &json!({"status": {"conditions": [{"type": "Established", "status": "True"}]}})
        ));
        assert!(!is_established(&json!({"status": {"conditions": []}})));
    }
}
