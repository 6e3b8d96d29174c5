//! Which endpoint is picked: `lb_policy`, its parameters and the thresholds around it.
//!
//! In: the Input of an outbound cluster. Out: the fields of balancing, locality and panic, set on its message. Called
//! by `build` only.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::common_lb_config::{
    LocalityConfigSpecifier, LocalityWeightedLbConfig,
};
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    CommonLbConfig, LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig,
    RoundRobinLbConfig, SlowStartConfig,
};
use envoy_types::pb::envoy::config::core::v3::RuntimeDouble;
use envoy_types::pb::envoy::r#type::v3::Percent;

use super::build::Outbound;
use crate::model::policy::{Algorithm, HashTable, Warmup};
use crate::model::service::Resolution;
use crate::xds::proto::{duration, uint64};

/// Fills the balancing part of a cluster.
pub(super) fn apply(cluster: &mut Cluster, input: &Outbound) {
    if input.resolution() == Resolution::Original {
        cluster.lb_policy = LbPolicy::ClusterProvided as i32;
        return;
    }
    let balance = input.policy.balance.clone().unwrap_or_default();
    let slow_start = balance.warmup.map(warmup);
    let (policy, config) = match &balance.algorithm {
        Algorithm::RoundRobin => (
            LbPolicy::RoundRobin,
            slow_start
                .map(|s| LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config: Some(s) })),
        ),
        Algorithm::Random => (LbPolicy::Random, None),
        Algorithm::Hash(hash) => match hash.table {
            HashTable::Ring(size) => (
                LbPolicy::RingHash,
                Some(LbConfig::RingHashLbConfig(RingHashLbConfig {
                    // Envoy takes at most 8 Mi entries.
                    minimum_ring_size: Some(uint64(size.clamp(1, 8_388_608))),
                    ..Default::default()
                })),
            ),
            HashTable::Maglev(size) => (
                LbPolicy::Maglev,
                Some(LbConfig::MaglevLbConfig(MaglevLbConfig {
                    table_size: (size > 0).then(|| uint64(size.min(5_000_011))),
                })),
            ),
        },
        Algorithm::Default | Algorithm::LeastRequest | Algorithm::Passthrough => (
            LbPolicy::LeastRequest,
            slow_start.map(|s| {
                LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
                    slow_start_config: Some(s),
                    ..Default::default()
                })
            }),
        ),
    };
    cluster.lb_policy = policy as i32;
    cluster.lb_config = config;
    let panic = input.policy.outlier.as_ref().map(|o| Percent { value: f64::from(o.min_health.min(100)) });
    let by_weight = balance.locality.as_ref().is_some_and(|l| l.enabled && !l.distribute.is_empty());
    if panic.is_some() || by_weight {
        cluster.common_lb_config = Some(CommonLbConfig {
            healthy_panic_threshold: panic,
            locality_config_specifier: by_weight
                .then_some(LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {})),
            ..Default::default()
        });
    }
}

fn warmup(setting: Warmup) -> SlowStartConfig {
    SlowStartConfig {
        slow_start_window: Some(duration(setting.duration)),
        aggression: Some(RuntimeDouble {
            default_value: f64::from(setting.aggression) / 1e6,
            runtime_key: "aggression".to_owned(),
        }),
        min_weight_percent: Some(Percent { value: f64::from(setting.minimum) / 1e4 }),
    }
}
