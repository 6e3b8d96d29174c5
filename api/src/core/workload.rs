//! Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob: what keeps pods running.

use super::{PersistentVolumeClaimTemplate, PodTemplate};
use crate::meta::LabelSelector;
use crate::text::IntOrString;

spec! {
    pub struct Deployment {
        /// 1 where absent.
        replicas: Option<i32>,
        selector: Option<LabelSelector>,
        template: PodTemplate,
        strategy: Option<DeploymentStrategy>,
        /// Seconds.
        min_ready_seconds: i32,
        revision_history_limit: Option<i32>,
        paused: bool,
        /// Seconds.
        progress_deadline_seconds: Option<i32>,
    }

    pub struct DeploymentStrategy {
        /// `RollingUpdate` (default) or `Recreate`.
        #[serde(rename = "type")]
        strategy_type: String,
        rolling_update: Option<RollingUpdate>,
    }

    pub struct RollingUpdate {
        max_unavailable: Option<IntOrString>,
        max_surge: Option<IntOrString>,
        partition: Option<i32>,
    }

    pub struct ReplicaSet {
        /// 1 where absent.
        replicas: Option<i32>,
        selector: Option<LabelSelector>,
        template: PodTemplate,
        /// Seconds.
        min_ready_seconds: i32,
    }

    pub struct StatefulSet {
        /// 1 where absent.
        replicas: Option<i32>,
        selector: Option<LabelSelector>,
        template: PodTemplate,
        /// Headless Service that names the pods.
        service_name: String,
        /// `OrderedReady` (default) or `Parallel`.
        pod_management_policy: String,
        update_strategy: Option<DeploymentStrategy>,
        revision_history_limit: Option<i32>,
        volume_claim_templates: Vec<PersistentVolumeClaimTemplate>,
        /// Seconds.
        min_ready_seconds: i32,
    }

    pub struct DaemonSet {
        selector: Option<LabelSelector>,
        template: PodTemplate,
        update_strategy: Option<DeploymentStrategy>,
        revision_history_limit: Option<i32>,
        /// Seconds.
        min_ready_seconds: i32,
    }

    pub struct Job {
        parallelism: Option<i32>,
        completions: Option<i32>,
        /// Seconds.
        active_deadline_seconds: Option<i64>,
        backoff_limit: Option<i32>,
        selector: Option<LabelSelector>,
        manual_selector: Option<bool>,
        template: PodTemplate,
        /// Seconds.
        ttl_seconds_after_finished: Option<i32>,
        completion_mode: Option<String>,
        suspend: Option<bool>,
    }

    pub struct CronJob {
        schedule: String,
        suspend: Option<bool>,
        concurrency_policy: String,
        job_template: JobTemplate,
    }

    pub struct JobTemplate {
        spec: Job,
    }
}
