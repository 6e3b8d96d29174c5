//! Pod and the template from which pods are made.

use std::collections::BTreeMap;

use super::{Container, LocalObjectReference, Volume};
use crate::meta::{LabelSelector, Meta};

spec! {
    /// A pod without a name, inside what makes pods.
    pub struct PodTemplate {
        metadata: Meta,
        spec: Pod,
    }

    pub struct Pod {
        containers: Vec<Container>,
        init_containers: Vec<Container>,
        volumes: Vec<Volume>,
        /// `Always` (default), `OnFailure` or `Never`.
        restart_policy: String,
        /// Seconds; 30 where absent.
        termination_grace_period_seconds: Option<i64>,
        /// Seconds.
        active_deadline_seconds: Option<i64>,
        service_account_name: String,
        /// Old name of `service_account_name`.
        service_account: String,
        automount_service_account_token: Option<bool>,
        node_name: String,
        node_selector: BTreeMap<String, String>,
        host_network: bool,
        #[serde(rename = "hostPID")]
        host_pid: bool,
        #[serde(rename = "hostIPC")]
        host_ipc: bool,
        share_process_namespace: Option<bool>,
        security_context: Option<PodSecurityContext>,
        image_pull_secrets: Vec<LocalObjectReference>,
        hostname: String,
        subdomain: String,
        affinity: serde_json::Value,
        tolerations: Vec<serde_json::Value>,
        topology_spread_constraints: Vec<TopologySpreadConstraint>,
        host_aliases: Vec<HostAlias>,
        priority_class_name: String,
        /// `ClusterFirst` (default), `ClusterFirstWithHostNet`, `Default` or `None`.
        dns_policy: String,
        dns_config: Option<PodDnsConfig>,
        readiness_gates: Vec<ReadinessGate>,
        runtime_class_name: Option<String>,
        enable_service_links: Option<bool>,
        scheduler_name: String,
    }

    pub struct TopologySpreadConstraint {
        max_skew: i32,
        topology_key: String,
        when_unsatisfiable: String,
        label_selector: Option<LabelSelector>,
    }

    pub struct HostAlias {
        ip: String,
        hostnames: Vec<String>,
    }

    pub struct PodDnsConfig {
        nameservers: Vec<String>,
        searches: Vec<String>,
        options: Vec<PodDnsOption>,
    }

    pub struct PodDnsOption {
        name: String,
        value: Option<String>,
    }

    pub struct ReadinessGate {
        condition_type: String,
    }

    pub struct PodSecurityContext {
        run_as_user: Option<i64>,
        run_as_group: Option<i64>,
        run_as_non_root: Option<bool>,
        supplemental_groups: Vec<i64>,
        fs_group: Option<i64>,
        sysctls: Vec<Sysctl>,
        seccomp_profile: Option<SeccompProfile>,
    }

    pub struct Sysctl {
        name: String,
        value: String,
    }

    pub struct SeccompProfile {
        #[serde(rename = "type")]
        profile_type: String,
        localhost_profile: Option<String>,
    }
}

impl Pod {
    /// The account the pod runs as; `default` where nothing is said.
    pub fn account(&self) -> &str {
        [self.service_account_name.as_str(), self.service_account.as_str()]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or("default")
    }
}

spec! {
    /// The part of a pod's `status` that a mesh reads.
    pub struct PodStatus {
        /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
        phase: String,
        #[serde(rename = "podIP")]
        pod_ip: String,
        #[serde(rename = "podIPs")]
        pod_ips: Vec<PodIp>,
        #[serde(rename = "hostIP")]
        host_ip: String,
        conditions: Vec<PodCondition>,
    }

    pub struct PodIp {
        ip: String,
    }

    pub struct PodCondition {
        #[serde(rename = "type")]
        condition_type: String,
        /// `True`, `False` or `Unknown`.
        status: String,
        reason: String,
        message: String,
    }
}

impl PodStatus {
    /// Whether the pod says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.conditions.iter().any(|c| c.condition_type == "Ready" && c.status == "True")
    }
}
