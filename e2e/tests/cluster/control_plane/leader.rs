//! What one replica does for all: the roots in every namespace, and who that one is.

use e2e::cluster::Namespace;
use e2e::control::{Control, Replica};
use e2e::until::eventually;

/// Lock of who writes the roots.
const LOCK: &str = "istio-namespace-controller-election";

/// The roots in a namespace.
fn roots(control: &Control, namespace: &Namespace) -> Result<String, String> {
    let path = "jsonpath={.data.root-cert\\.pem}";
    namespace.try_run(&["get", "configmap", &control.roots, "-o", path])
}

#[test]
fn roots_are_in_every_namespace_and_stay_right() {
    let control = Control::new(&[]);
    let _replica = control.ready("pilot", &[]);
    let right = control.key("root-cert.pem").unwrap();
    let is_right = |namespace: &Namespace| match roots(&control, namespace)? {
        found if found == right => Ok(()),
        found => Err(found),
    };
    let late = Namespace::new();
    eventually("the roots in a new namespace", || is_right(&late));
    eventually("the roots in the root namespace", || is_right(&control.namespace));
    let label = ["get", "configmap", &control.roots, "-o", "jsonpath={.metadata.labels.istio\\.io/config}"];
    assert_eq!(late.run(&label), "true");
    late.run(&["delete", "configmap", &control.roots]);
    eventually("deleted, it comes back", || is_right(&late));
    late.run(&["patch", "configmap", &control.roots, "-p", "{\"data\":{\"root-cert.pem\":\"forged\"}}"]);
    eventually("forged, it is put right", || is_right(&late));
    let named = format!("metadata.name={}", control.roots);
    let listed = late.run(&["get", "configmap", "-A", "--field-selector", &named]);
    assert!(!listed.contains("kube-system"), "Kubernetes' own namespaces have none: {listed}");
}

#[test]
fn namespaces_that_are_not_discovered_get_no_roots_until_they_are() {
    let control = Control::new(&["meshConfig.discoverySelectors[0].matchLabels.mesh=in"]);
    let _replica = control.ready("pilot", &[]);
    let (inside, outside) = (Namespace::new(), Namespace::new());
    inside.label("mesh=in");
    eventually("the roots of a namespace that is discovered", || roots(&control, &inside));
    assert!(roots(&control, &outside).is_err());
    outside.label("mesh=in");
    eventually("the roots once it is discovered", || roots(&control, &outside));
}

#[test]
fn a_replica_that_ends_hands_over_and_one_that_dies_is_replaced() {
    let control = Control::new(&[]);
    let holder =
        || control.namespace.try_run(&["get", "lease", LOCK, "-o", "jsonpath={.spec.holderIdentity}"]);
    let leads = |name: &str| {
        eventually(&format!("{name} leads"), || match holder()? {
            found if found == name => Ok(()),
            found => Err(found),
        });
    };
    let first = control.ready("first", &[]);
    leads("first");
    let mut second = control.ready("second", &[]);
    let said = first.end();
    assert!(said.contains("released"), "{said}");
    leads("second");
    let third = control.ready("third", &[]);
    second.process.kill();
    // It cannot release. Nobody waits for half a minute in a test: the claim is made a short one.
    control.namespace.run(&["patch", "lease", LOCK, "-p", "{\"spec\":{\"leaseDurationSeconds\":3}}"]);
    leads("third");
    let late = Namespace::new();
    eventually("and does the work", || roots(&control, &late));
    drop::<Replica>(third);
}
