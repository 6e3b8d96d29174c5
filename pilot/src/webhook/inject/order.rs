//! The order of containers, which is the order in which they start.
//!
//! In: the merged pod. Out: the same with the proxy's containers where they belong. Called by `finish`.

use serde_json::Value;

use super::PROXY;
use super::pod::{containers, containers_mut, is_named};

const INIT: &str = "istio-init";
const VALIDATION: &str = "istio-validation";

/// `hold`: the application waits for the proxy.
pub(super) fn order(pod: &mut Value, hold: bool) {
    // Last, so that commands that name no container mean the application's.
    shift(pod, "containers", PROXY, hold);
    if containers(pod, "initContainers").iter().any(|item| is_named(item, PROXY)) {
        // A proxy that starts before everything: init containers are in the mesh as well.
        for name in [PROXY, VALIDATION, INIT] {
            shift(pod, "initContainers", name, true);
        }
    } else {
        // Redirected traffic has nowhere to go until the proxy runs, so that comes after all other init containers.
        shift(pod, "initContainers", VALIDATION, true);
        shift(pod, "initContainers", INIT, false);
    }
}

/// Moves a container to the start or the end of its list.
fn shift(pod: &mut Value, list: &str, name: &str, first: bool) {
    let Some(at) = containers(pod, list).iter().position(|item| is_named(item, name)) else { return };
    let items = containers_mut(pod, list);
    let item = items.remove(at);
    items.insert(if first { 0 } else { items.len() }, item);
}
