//! MeshNetworks: which endpoints are in which network, and how a network is entered.

use std::collections::BTreeMap;

spec! {
    pub struct MeshNetworks {
        networks: BTreeMap<String, Network>,
    }

    pub struct Network {
        endpoints: Vec<NetworkEndpoints>,
        gateways: Vec<NetworkGateway>,
    }

    /// One of the two.
    pub struct NetworkEndpoints {
        from_cidr: Option<String>,
        /// Name of a cluster.
        from_registry: Option<String>,
    }

    /// Service or address.
    pub struct NetworkGateway {
        registry_service_name: Option<String>,
        address: Option<String>,
        port: u32,
        locality: String,
    }
}
