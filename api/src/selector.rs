//! How objects say which workloads they are about: labels, or references to what they are attached to.

use std::collections::BTreeMap;

spec! {
    /// `matchLabels`, as in security, telemetry and extension kinds.
    pub struct WorkloadSelector {
        match_labels: BTreeMap<String, String>,
    }

    /// `labels`, as in Sidecar, ServiceEntry and EnvoyFilter.
    pub struct LabelsSelector {
        labels: BTreeMap<String, String>,
    }

    /// A Gateway, GatewayClass, Service or ServiceEntry that a policy is attached to.
    pub struct TargetRef {
        /// Empty: the core group.
        group: String,
        kind: String,
        name: String,
        /// Must be this namespace, if set.
        namespace: String,
    }
}
