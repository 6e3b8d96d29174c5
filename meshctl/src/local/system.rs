//! The mesh's own objects: namespaces, mesh config, control plane and ingress gateway.
//!
//! In: the folders of this mesh. Out: the text of `system.yaml`, to be parsed and kept like any other object, so
//! that users see, change and replace them in the same way.

use super::paths::Paths;

/// Name of the only node.
pub const NODE_NAME: &str = "laptop";
/// Namespace of the control plane.
pub const SYSTEM_NAMESPACE: &str = "istio-system";
/// Namespaces in which nothing is ever injected.
pub const NEVER_INJECTED: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// The objects of any mesh, as text; folders are left as `@NAMES@`.
pub const OBJECTS: &str = include_str!("system.yaml");

/// The objects of this mesh, as text.
#[must_use]
pub fn objects(paths: &Paths) -> String {
    OBJECTS
        .replace("@CONFIG@", &paths.config().display().to_string())
        .replace("@CA@", &paths.ca().display().to_string())
        .replace("@JWKS@", &paths.state.join(citadel::token::JWKS_FILE).display().to_string())
}
