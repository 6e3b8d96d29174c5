//! Istio's table of DNS names, and our table of addresses.
//!
//! In: pilot makes them from services and workloads. Out: the proxy's DNS server answers from the first, its
//! telemetry names silent peers by the second. The text of the messages is in `proto/`, for reflection.

use std::collections::BTreeMap;

use envoy_types::pb::google::protobuf::Struct;

/// Names that the proxy answers itself.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NameTable {
    /// Host name without a final dot -> addresses.
    #[prost(btree_map = "string, message", tag = "1")]
    pub table: BTreeMap<String, NameInfo>,
}

/// What is known of one name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NameInfo {
    /// Addresses, IPv4 and IPv6.
    #[prost(string, repeated, tag = "1")]
    pub ips: Vec<String>,
    /// Where the name comes from: `Kubernetes` or `External`.
    #[prost(string, tag = "2")]
    pub registry: String,
    /// First label of a Kubernetes service's name.
    #[prost(string, tag = "3")]
    pub shortname: String,
    /// The service's namespace.
    #[prost(string, tag = "4")]
    pub namespace: String,
    /// Further names for the same addresses.
    #[prost(string, repeated, tag = "5")]
    pub alt_hosts: Vec<String>,
}

/// Who lives at an address; the resource name is the address.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Workload {
    /// IPv4 or IPv6 address.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Node id, as in the peer metadata exchange.
    #[prost(string, tag = "2")]
    pub id: String,
    /// The same `Struct` as in the peer metadata exchange.
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<Struct>,
    /// SPIFFE identity.
    #[prost(string, tag = "4")]
    pub identity: String,
}

impl prost::Name for NameTable {
    const NAME: &'static str = "NameTable";
    const PACKAGE: &'static str = "istio.networking.nds.v1";
    fn type_url() -> String {
        crate::Kind::NameTable.type_url().into()
    }
}

impl prost::Name for Workload {
    const NAME: &'static str = "Workload";
    const PACKAGE: &'static str = "mesh.workload.v1";
    fn type_url() -> String {
        crate::Kind::Workload.type_url().into()
    }
}
