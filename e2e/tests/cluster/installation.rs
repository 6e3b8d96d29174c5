//! Installing twice, and taking everything away: both compare all objects of the cluster before and after.

use std::collections::{BTreeMap, BTreeSet};

use crate::Mesh;
use e2e::cluster::kubectl;
use e2e::driven::Driven as _;
use e2e::installed::meshctl;
use e2e::until::eventually;

/// Kinds whose objects change by themselves.
const RESTLESS: &[&str] = &[
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "pods",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "nodes",
    "replicasets.apps",
    "componentstatuses",
];

/// Every object of every kind but the restless: `kind namespace/name` and its `resourceVersion`.
#[track_caller]
fn everything() -> BTreeMap<String, String> {
    let kinds = kubectl(&["api-resources", "--verbs=list", "-o", "name"]);
    assert!(kinds.success, "{kinds}");
    let mut all = BTreeMap::new();
    let path = "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    for kind in kinds.stdout.lines().filter(|kind| !RESTLESS.contains(kind)) {
        let listed = kubectl(&["get", kind, "-A", "-o", path]);
        assert!(listed.success, "{kind}: {listed}");
        for (name, version) in listed.stdout.lines().filter_map(|line| line.split_once(' ')) {
            all.insert(format!("{kind} {name}"), version.to_owned());
        }
    }
    all
}

#[test]
fn a_second_installation_changes_nothing() {
    let mesh = Mesh::up(&["curl"]);
    mesh.ok(&["rollout", "status", "-n", "istio-system", "deployment/istio-ingressgateway"]);
    let before = everything();
    let said = mesh.ok(&["install", "--set", "profile=demo", "-y"]);
    assert!(said.contains("Installation complete"), "{said}");
    let after = everything();
    let changed: Vec<&String> = after
        .iter()
        .filter(|(name, version)| before.get(*name) != Some(version))
        .map(|(name, _)| name)
        .collect();
    assert!(changed.is_empty(), "changed or made: {changed:?}");
    let gone: Vec<&String> = before.keys().filter(|name| !after.contains_key(*name)).collect();
    assert!(gone.is_empty(), "removed: {gone:?}");
}

/// Names alone, without what another run of the mesh did not bring: the cluster's own.
fn names() -> BTreeSet<String> {
    everything().into_keys().collect()
}

#[test]
fn uninstalling_leaves_nothing() {
    let mesh = Mesh::up(&[]);
    let purge = || {
        let done = meshctl(&["uninstall", "--purge", "-y"]);
        assert!(done.success, "{done}");
        assert!(done.stdout.contains("Uninstall complete"), "{done}");
    };
    // Gone once, the cluster is as it was without a mesh; the namespace stays, as with any installation by this profile.
    purge();
    let of_the_mesh = |names: &BTreeSet<String>| -> Vec<String> {
        let is = |name: &&String| name.contains("istio") || name.contains("gateway.networking");
        names.iter().filter(is).cloned().collect()
    };
    let allowed = [
        "namespaces /istio-system",
        "serviceaccounts istio-system/default",
        "configmaps istio-system/kube-root-ca.crt",
    ];
    let clean = || {
        let left: Vec<String> =
            of_the_mesh(&names()).into_iter().filter(|name| !allowed.contains(&name.as_str())).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    };
    eventually("nothing of the mesh is left", clean);
    let bare = names();
    // Whoever installs again and leaves again finds the same objects, no fewer of their own and no more of the mesh's.
    e2e::installed::install();
    mesh.ok(&["get", "virtualservices"]);
    purge();
    eventually("the objects are those from before", || {
        let now = names();
        let more: Vec<&String> = now.difference(&bare).collect();
        let fewer: Vec<&String> = bare.difference(&now).collect();
        if more.is_empty() && fewer.is_empty() {
            Ok(())
        } else {
            Err(format!("more {more:?}, fewer {fewer:?}"))
        }
    });
    drop(mesh);
    // Again for the tests after this one.
    e2e::installed::install();
}
