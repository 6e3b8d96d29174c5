//! WorkloadEntry and WorkloadGroup: workloads outside Kubernetes, one by one and as a template.
//!
//! Read by pilot's endpoints and, for groups, by registration. The same type is an inline endpoint of a ServiceEntry.

use std::collections::BTreeMap;

use crate::time::Duration;

spec! {
    pub struct WorkloadEntry {
        /// IP, DNS name or `unix://` path; may be empty where `network` is set.
        address: String,
        /// Port name to number.
        ports: BTreeMap<String, u32>,
        labels: BTreeMap<String, String>,
        network: String,
        /// `region/zone/subzone`.
        locality: String,
        /// 0: 1.
        weight: u32,
        service_account: String,
    }

    pub struct WorkloadGroup {
        /// Stamped on the entries.
        metadata: Option<WorkloadGroupMeta>,
        template: Option<WorkloadEntry>,
        probe: Option<ReadinessProbe>,
    }

    pub struct WorkloadGroupMeta {
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    }

    /// Run by the proxy on the machine; one of the four ways.
    pub struct ReadinessProbe {
        /// Seconds; 0 where absent.
        initial_delay_seconds: i32,
        /// Seconds; 1 where absent.
        timeout_seconds: i32,
        /// Seconds; 10 where absent.
        period_seconds: i32,
        /// 1 where absent.
        success_threshold: i32,
        /// 3 where absent.
        failure_threshold: i32,
        http_get: Option<HttpHealthCheck>,
        tcp_socket: Option<TcpHealthCheck>,
        exec: Option<ExecHealthCheck>,
        grpc: Option<GrpcHealthCheck>,
    }

    pub struct HttpHealthCheck {
        path: String,
        port: u32,
        /// 127.0.0.1 where absent.
        host: String,
        scheme: String,
        http_headers: Vec<HttpHeader>,
    }

    pub struct HttpHeader {
        name: String,
        value: String,
    }

    pub struct TcpHealthCheck {
        host: String,
        port: u32,
    }

    pub struct ExecHealthCheck {
        command: Vec<String>,
    }

    pub struct GrpcHealthCheck {
        service: String,
        port: u32,
    }
}

impl ReadinessProbe {
    /// Time between two probes.
    pub fn period(&self) -> Duration {
        Duration::from_secs(if self.period_seconds == 0 { 10 } else { i64::from(self.period_seconds) })
    }
}
