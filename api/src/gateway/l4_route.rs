//! TCPRoute, TLSRoute and UDPRoute: connections to backends, by port or by server name.

use super::{BackendRef, ParentReference};

spec! {
    pub struct TcpRoute {
        parent_refs: Vec<ParentReference>,
        /// `All` or `None`: attach to default Gateways.
        use_default_gateways: Option<String>,
        rules: Vec<L4RouteRule>,
    }

    pub struct TlsRoute {
        parent_refs: Vec<ParentReference>,
        /// `All` or `None`: attach to default Gateways.
        use_default_gateways: Option<String>,
        /// Server names.
        hostnames: Vec<String>,
        rules: Vec<L4RouteRule>,
    }

    pub struct UdpRoute {
        parent_refs: Vec<ParentReference>,
        /// `All` or `None`: attach to default Gateways.
        use_default_gateways: Option<String>,
        rules: Vec<L4RouteRule>,
    }

    pub struct L4RouteRule {
        name: Option<String>,
        backend_refs: Vec<BackendRef>,
    }
}
