//! References between Gateway API objects, and ReferenceGrant, which allows those across namespaces.

use std::collections::BTreeMap;

spec! {
    /// What a route is attached to: a Gateway, ListenerSet, Service or ServiceEntry.
    pub struct ParentReference {
        /// Absent: `gateway.networking.k8s.io`.
        group: Option<String>,
        /// Absent: `Gateway`.
        kind: Option<String>,
        namespace: Option<String>,
        name: String,
        /// Name of a listener.
        section_name: Option<String>,
        port: Option<i32>,
    }

    /// Where traffic goes.
    pub struct BackendRef {
        /// Absent: the core group.
        group: Option<String>,
        /// Absent: `Service`.
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
        /// Needed for Services.
        port: Option<i32>,
        /// Relative; 1 where absent.
        weight: Option<i32>,
    }

    pub struct BackendObjectReference {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
        port: Option<i32>,
    }

    /// Absent group and kind: `Secret`.
    pub struct SecretObjectReference {
        group: Option<String>,
        kind: Option<String>,
        name: String,
        namespace: Option<String>,
    }

    pub struct ObjectReference {
        group: String,
        kind: String,
        name: String,
        namespace: Option<String>,
    }

    pub struct LocalObjectReference {
        group: String,
        kind: String,
        name: String,
    }

    pub struct LocalPolicyTargetReference {
        group: String,
        kind: String,
        name: String,
        section_name: Option<String>,
    }

    pub struct ParametersReference {
        group: String,
        kind: String,
        name: String,
        namespace: Option<String>,
    }

    /// Allows objects of other namespaces to refer to objects of this one.
    pub struct ReferenceGrant {
        from: Vec<ReferenceGrantFrom>,
        to: Vec<ReferenceGrantTo>,
    }

    pub struct ReferenceGrantFrom {
        group: String,
        kind: String,
        namespace: String,
    }

    pub struct ReferenceGrantTo {
        group: String,
        kind: String,
        /// Absent: all.
        name: Option<String>,
    }

    pub struct SessionPersistence {
        session_name: Option<String>,
        absolute_timeout: Option<crate::time::Duration>,
        idle_timeout: Option<crate::time::Duration>,
        /// `Cookie` (default) or `Header`.
        #[serde(rename = "type")]
        session_type: Option<String>,
        cookie_config: Option<CookieConfig>,
    }

    pub struct CookieConfig {
        /// `Session` (default) or `Permanent`.
        lifetime_type: Option<String>,
    }

    /// Implementation-specific settings, by domain-prefixed key.
    pub struct Infrastructure {
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        parameters_ref: Option<LocalObjectReference>,
    }
}
