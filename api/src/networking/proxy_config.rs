//! ProxyConfig (the kind): proxy settings for a namespace or some workloads, applied when a proxy starts.
//!
//! Not to be mistaken for `mesh::ProxyConfig`, the much larger settings inside the mesh settings.

use std::collections::BTreeMap;

use crate::selector::WorkloadSelector;

spec! {
    pub struct ProxyConfig {
        /// None: the namespace; in the root namespace, the mesh.
        selector: Option<WorkloadSelector>,
        /// Worker threads; absent: the CPU limit; 0: all cores.
        concurrency: Option<i32>,
        environment_variables: BTreeMap<String, String>,
        image: Option<ProxyImage>,
    }

    pub struct ProxyImage {
        /// `default`, `debug` or `distroless`.
        image_type: String,
    }
}
