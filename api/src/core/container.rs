//! Containers: program, environment, ports, probes, mounts.

use std::collections::BTreeMap;

use super::SeccompProfile;
use crate::text::{IntOrString, Quantity};

spec! {
    pub struct Container {
        name: String,
        image: String,
        /// `Always`, `IfNotPresent` or `Never`.
        image_pull_policy: String,
        /// Program and its first arguments; empty: the image's.
        command: Vec<String>,
        args: Vec<String>,
        working_dir: String,
        ports: Vec<ContainerPort>,
        env: Vec<EnvVar>,
        env_from: Vec<EnvFromSource>,
        resources: Option<ResourceRequirements>,
        volume_mounts: Vec<VolumeMount>,
        volume_devices: Vec<serde_json::Value>,
        liveness_probe: Option<Probe>,
        readiness_probe: Option<Probe>,
        startup_probe: Option<Probe>,
        lifecycle: Option<Lifecycle>,
        /// `Always` in an init container makes it a sidecar.
        restart_policy: Option<String>,
        termination_message_path: String,
        termination_message_policy: String,
        security_context: Option<SecurityContext>,
        stdin: bool,
        stdin_once: bool,
        tty: bool,
    }

    pub struct ContainerPort {
        name: String,
        container_port: i32,
        host_port: i32,
        #[serde(rename = "hostIP")]
        host_ip: String,
        /// `TCP` (default), `UDP` or `SCTP`.
        protocol: String,
    }

    pub struct EnvVar {
        name: String,
        /// `$(OTHER)` is replaced by an earlier variable.
        value: String,
        value_from: Option<EnvVarSource>,
    }

    /// One of the four.
    pub struct EnvVarSource {
        field_ref: Option<ObjectFieldSelector>,
        resource_field_ref: Option<ResourceFieldSelector>,
        config_map_key_ref: Option<KeySelector>,
        secret_key_ref: Option<KeySelector>,
    }

    /// Field of the pod, such as `metadata.name` or `status.podIP`.
    pub struct ObjectFieldSelector {
        api_version: String,
        field_path: String,
    }

    pub struct ResourceFieldSelector {
        container_name: String,
        /// Such as `limits.cpu`.
        resource: String,
        divisor: Option<Quantity>,
    }

    pub struct KeySelector {
        name: String,
        key: String,
        optional: Option<bool>,
    }

    pub struct EnvFromSource {
        prefix: String,
        config_map_ref: Option<EnvSource>,
        secret_ref: Option<EnvSource>,
    }

    pub struct EnvSource {
        name: String,
        optional: Option<bool>,
    }

    pub struct ResourceRequirements {
        limits: BTreeMap<String, Quantity>,
        requests: BTreeMap<String, Quantity>,
    }

    pub struct VolumeMount {
        name: String,
        mount_path: String,
        sub_path: String,
        sub_path_expr: String,
        read_only: bool,
        mount_propagation: Option<String>,
    }

    /// One of the four ways.
    pub struct Probe {
        http_get: Option<HttpGetAction>,
        tcp_socket: Option<TcpSocketAction>,
        exec: Option<ExecAction>,
        grpc: Option<GrpcAction>,
        /// Seconds; 0 where absent.
        initial_delay_seconds: i32,
        /// Seconds; 1 where absent.
        timeout_seconds: Option<i32>,
        /// Seconds; 10 where absent.
        period_seconds: Option<i32>,
        /// 1 where absent.
        success_threshold: Option<i32>,
        /// 3 where absent.
        failure_threshold: Option<i32>,
        termination_grace_period_seconds: Option<i64>,
    }

    pub struct HttpGetAction {
        path: String,
        port: IntOrString,
        /// The pod's address where absent.
        host: String,
        /// `HTTP` (default) or `HTTPS`.
        scheme: String,
        http_headers: Vec<ProbeHeader>,
    }

    pub struct ProbeHeader {
        name: String,
        value: String,
    }

    pub struct TcpSocketAction {
        port: IntOrString,
        host: String,
    }

    pub struct ExecAction {
        command: Vec<String>,
    }

    pub struct GrpcAction {
        port: i32,
        service: Option<String>,
    }

    pub struct Lifecycle {
        post_start: Option<LifecycleHandler>,
        pre_stop: Option<LifecycleHandler>,
    }

    pub struct LifecycleHandler {
        exec: Option<ExecAction>,
        http_get: Option<HttpGetAction>,
        tcp_socket: Option<TcpSocketAction>,
        sleep: Option<SleepAction>,
    }

    pub struct SleepAction {
        seconds: i64,
    }

    pub struct SecurityContext {
        run_as_user: Option<i64>,
        run_as_group: Option<i64>,
        run_as_non_root: Option<bool>,
        privileged: Option<bool>,
        read_only_root_filesystem: Option<bool>,
        allow_privilege_escalation: Option<bool>,
        capabilities: Option<Capabilities>,
        seccomp_profile: Option<SeccompProfile>,
    }

    pub struct Capabilities {
        add: Vec<String>,
        drop: Vec<String>,
    }
}
