//! WasmPlugin: a WebAssembly filter for some workloads.

use crate::selector::{TargetRef, WorkloadSelector};

spec! {
    pub struct WasmPlugin {
        selector: Option<WorkloadSelector>,
        /// Deprecated form of `target_refs`.
        target_ref: Option<TargetRef>,
        target_refs: Vec<TargetRef>,
        /// `oci://` (default), `http://`, `https://` or `file://`.
        url: String,
        /// Hex, 64 digits.
        sha256: String,
        image_pull_policy: PullPolicy,
        image_pull_secret: String,
        /// Reserved.
        verification_key: String,
        plugin_config: serde_json::Value,
        plugin_name: String,
        phase: PluginPhase,
        /// Larger runs earlier within a phase; 0 where absent.
        priority: Option<i32>,
        fail_strategy: FailStrategy,
        vm_config: Option<VmConfig>,
        #[serde(rename = "match")]
        matches: Vec<TrafficSelector>,
        #[serde(rename = "type")]
        plugin_type: PluginType,
    }

    pub struct VmConfig {
        env: Vec<WasmEnvVar>,
    }

    pub struct WasmEnvVar {
        name: String,
        value_from: EnvValueSource,
        /// For `INLINE`.
        value: String,
    }

    pub struct TrafficSelector {
        mode: TrafficMode,
        ports: Vec<TrafficPort>,
    }

    pub struct TrafficPort {
        number: u32,
    }
}

choice! {
    pub enum PullPolicy {
        #[default]
        Unspecified = "UNSPECIFIED_POLICY",
        IfNotPresent = "IfNotPresent",
        Always = "Always",
    }

    pub enum PluginPhase {
        /// After all others, before the router.
        #[default]
        Unspecified = "UNSPECIFIED_PHASE",
        Authn = "AUTHN",
        Authz = "AUTHZ",
        Stats = "STATS",
    }

    pub enum FailStrategy {
        #[default]
        FailClose = "FAIL_CLOSE",
        FailOpen = "FAIL_OPEN",
        FailReload = "FAIL_RELOAD",
    }

    pub enum EnvValueSource {
        #[default]
        Inline = "INLINE",
        Host = "HOST",
    }

    pub enum TrafficMode {
        #[default]
        Undefined = "UNDEFINED",
        Client = "CLIENT",
        Server = "SERVER",
        ClientAndServer = "CLIENT_AND_SERVER",
    }

    pub enum PluginType {
        #[default]
        Unspecified = "UNSPECIFIED_PLUGIN_TYPE",
        Http = "HTTP",
        Network = "NETWORK",
    }
}
