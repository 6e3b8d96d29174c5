//! PeerAuthentication: whether connections to a workload must be mutual TLS.
//!
//! Read by pilot's identity section. Port beats workload beats namespace beats mesh (root namespace).

use std::collections::BTreeMap;

use crate::selector::WorkloadSelector;

spec! {
    pub struct PeerAuthentication {
        /// None: the namespace; in the root namespace, the mesh.
        selector: Option<WorkloadSelector>,
        mtls: Option<MutualTls>,
        /// By port of the workload, not of the Service; needs a selector.
        port_level_mtls: BTreeMap<String, MutualTls>,
    }

    pub struct MutualTls {
        mode: MtlsMode,
    }
}

choice! {
    pub enum MtlsMode {
        /// Inherited; with nothing to inherit, `Permissive`.
        #[default]
        Unset = "UNSET",
        /// Plain text only.
        Disable = "DISABLE",
        /// Both.
        Permissive = "PERMISSIVE",
        /// Mutual TLS only.
        Strict = "STRICT",
    }
}
