//! ListenerSet: listeners added to somebody else's Gateway. `XListenerSet` is its experimental name.

use super::{AllowedRoutes, ListenerTlsConfig, ParentReference};

spec! {
    pub struct ListenerSet {
        parent_ref: ParentReference,
        listeners: Vec<ListenerEntry>,
    }

    pub struct XListenerSet {
        parent_ref: ParentReference,
        listeners: Vec<ListenerEntry>,
    }

    pub struct ListenerEntry {
        name: String,
        hostname: Option<String>,
        /// 0 or absent: chosen by the implementation.
        port: i32,
        protocol: String,
        tls: Option<ListenerTlsConfig>,
        allowed_routes: Option<AllowedRoutes>,
    }
}
