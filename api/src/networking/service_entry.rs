//! ServiceEntry: a service that Kubernetes does not know, or an external one.
//!
//! Read by pilot's services. Its endpoints are listed, selected among WorkloadEntries and pods, or found by DNS.

use super::WorkloadEntry;
use crate::selector::LabelsSelector;

spec! {
    pub struct ServiceEntry {
        /// 1 to 256 names; `*.suffix` only without DNS resolution or with `DYNAMIC_DNS`.
        hosts: Vec<String>,
        /// Addresses or CIDRs by which clients connect.
        addresses: Vec<String>,
        ports: Vec<ServicePort>,
        location: Location,
        resolution: Resolution,
        endpoints: Vec<WorkloadEntry>,
        /// Excludes `endpoints`.
        workload_selector: Option<LabelsSelector>,
        export_to: Vec<String>,
        /// Names that the server's certificate must have.
        subject_alt_names: Vec<String>,
    }

    pub struct ServicePort {
        number: u32,
        /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS, ...; empty: by the name's prefix, else sniffed.
        protocol: String,
        name: String,
        /// Port of the endpoints; 0: `number`.
        target_port: u32,
    }
}

choice! {
    pub enum Location {
        /// Outside: no mesh TLS.
        #[default]
        MeshExternal = "MESH_EXTERNAL",
        MeshInternal = "MESH_INTERNAL",
    }

    pub enum Resolution {
        /// To where the client connected.
        #[default]
        None = "NONE",
        /// The addresses of the endpoints.
        Static = "STATIC",
        /// All addresses that DNS gives.
        Dns = "DNS",
        /// The first address that DNS gives.
        DnsRoundRobin = "DNS_ROUND_ROBIN",
        /// The name in the request is resolved; for wildcard hosts.
        DynamicDns = "DYNAMIC_DNS",
    }
}
