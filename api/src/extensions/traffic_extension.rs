//! TrafficExtension: a WebAssembly or Lua filter for some workloads; successor of WasmPlugin.

use super::{FailStrategy, PluginType, PullPolicy, TrafficSelector, VmConfig};
use crate::selector::{TargetRef, WorkloadSelector};

spec! {
    /// Exactly one of `lua` and `wasm`.
    pub struct TrafficExtension {
        selector: Option<WorkloadSelector>,
        target_refs: Vec<TargetRef>,
        lua: Option<LuaExtension>,
        wasm: Option<WasmExtension>,
        phase: ExtensionPhase,
        /// Larger runs earlier within a phase; 0 where absent.
        priority: Option<i32>,
        #[serde(rename = "match")]
        matches: Vec<TrafficSelector>,
    }

    pub struct LuaExtension {
        /// At most 64 KiB.
        inline_code: String,
    }

    /// The fields of WasmPlugin that say what to run.
    pub struct WasmExtension {
        url: String,
        sha256: String,
        image_pull_policy: PullPolicy,
        image_pull_secret: String,
        verification_key: String,
        plugin_config: serde_json::Value,
        plugin_name: String,
        fail_strategy: FailStrategy,
        vm_config: Option<VmConfig>,
        #[serde(rename = "type")]
        plugin_type: PluginType,
    }
}

choice! {
    pub enum ExtensionPhase {
        #[default]
        Unspecified = "UNSPECIFIED",
        Authn = "AUTHN",
        Authz = "AUTHZ",
        Stats = "STATS",
    }
}
