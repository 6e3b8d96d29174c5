//! Labels that say what belongs to an installation. Istio's, so that its tools and ours see the same.
//!
//! In: an object of a chart and its component. Out: the object as it is applied. Called by `install`; `uninstall` and
//! pruning find objects by these labels only.

use serde_json::{Value, json};

use crate::install::{Installation, Part};

/// The component that an object belongs to: `Base`, `Pilot`, `IngressGateways`, `EgressGateways`.
pub(super) const COMPONENT: &str = "operator.istio.io/component";
/// `Reconcile`: applied by this program, and removed when it is no longer part of the installation.
pub(super) const MANAGED: &str = "operator.istio.io/managed";
/// The revision that an object belongs to; objects of `Base` have none, they belong to all.
pub(super) const REVISION: &str = "istio.io/rev";
/// The version of the program that applied it.
pub(super) const VERSION: &str = "operator.istio.io/version";

/// Objects of a part as they are applied.
pub(super) fn labelled(installation: &Installation, part: &Part) -> Vec<Value> {
    let role = part.component.role;
    let mark = |object: &Value| {
        let mut object = object.clone();
        let labels = &mut object["metadata"]["labels"];
        labels[COMPONENT] = json!(role.label());
        labels[MANAGED] = json!("Reconcile");
        labels[VERSION] = json!(env!("CARGO_PKG_VERSION"));
        if role != crate::install::Role::Core {
            labels[REVISION] = json!(installation.revision);
        }
        object
    };
    part.objects.iter().map(mark).collect()
}
