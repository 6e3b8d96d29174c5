//! Balancing, limits and outlier detection of clusters.
//!
//! In: the parts of a Cluster message that are about choosing and limiting. Out: plain settings, taken out of the
//! message so that `cluster` can refuse what is left.

use std::time::Duration;

use wire::pb::envoy::config::cluster::v3 as cluster;
use wire::pb::envoy::config::core::v3::RoutingPriority;

use super::read::{At, Lower, done, duration_or, flag, harmless, number, refuse};
use crate::cluster::OutlierSettings;
use crate::config::{Balance, SlowStart};

/// How endpoints are chosen.
pub(super) struct Balancing {
    pub(super) rule: Balance,
    /// Percent.
    pub(super) panic_threshold: u32,
    pub(super) locality_weighted: bool,
    pub(super) slow_start: Option<SlowStart>,
}

pub(super) fn balance(one: &mut cluster::Cluster) -> Lower<Balancing> {
    use cluster::cluster::{LbConfig as C, LbPolicy as P};
    let policy = one.lb_policy();
    one.lb_policy = 0;
    let config = one.lb_config.take();
    let mut slow_start = None;
    let rule = match (policy, config) {
        (P::RoundRobin, None) => Balance::RoundRobin,
        (P::RoundRobin, Some(C::RoundRobinLbConfig(mut config))) => {
            slow_start =
                config.slow_start_config.take().map(warm_up).transpose().at("round_robin_lb_config")?;
            done(&config).at("round_robin_lb_config")?;
            Balance::RoundRobin
        }
        (P::LeastRequest, None) => Balance::LeastRequest { choices: 2 },
        (P::LeastRequest, Some(C::LeastRequestLbConfig(mut config))) => {
            let choices = number(config.choice_count.take(), 2).max(2);
            slow_start =
                config.slow_start_config.take().map(warm_up).transpose().at("least_request_lb_config")?;
            done(&config).at("least_request_lb_config")?;
            Balance::LeastRequest { choices }
        }
        (P::Random, None) => Balance::Random,
        (P::RingHash, config) => ring(config)?,
        (P::Maglev, config) => maglev(config)?,
        (P::ClusterProvided, None) => Balance::Provided,
        (P::LoadBalancingPolicyConfig, _) => {
            return refuse("load_balancing_policy", "not supported by this proxy");
        }
        (_, Some(_)) => return refuse("lb_config", "does not fit lb_policy"),
    };
    let mut common = one.common_lb_config.take().unwrap_or_default();
    // Updates are applied as they come.
    harmless!(common; update_merge_window);
    let panic = common.healthy_panic_threshold.take().map_or(50.0, |percent| percent.value);
    let locality_weighted = match common.locality_config_specifier.take() {
        None => false,
        Some(cluster::cluster::common_lb_config::LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => {
            true
        }
        Some(cluster::cluster::common_lb_config::LocalityConfigSpecifier::ZoneAwareLbConfig(zone)) => {
            // Zone awareness needs to know one's own cluster, which nothing here does; without, it has no effect.
            done(&zone).at("common_lb_config.zone_aware_lb_config")?;
            false
        }
    };
    done(&common).at("common_lb_config")?;
    let panic_threshold = panic.round().clamp(0.0, 100.0) as u32;
    Ok(Balancing { rule, panic_threshold, locality_weighted, slow_start })
}

fn warm_up(mut config: cluster::cluster::SlowStartConfig) -> Lower<SlowStart> {
    let window = duration_or(config.slow_start_window.take(), Duration::ZERO).at("slow_start_config")?;
    let aggression = config.aggression.take().map_or(1.0, |value| value.default_value);
    let least = config.min_weight_percent.take().map_or(10.0, |percent| percent.value);
    done(&config).at("slow_start_config")?;
    if aggression <= 0.0 {
        return refuse("slow_start_config.aggression", "must be above zero");
    }
    Ok(SlowStart { window, aggression, least: least.clamp(0.0, 100.0) / 100.0 })
}

fn ring(config: Option<cluster::cluster::LbConfig>) -> Lower<Balance> {
    let mut config = match config {
        None => Default::default(),
        Some(cluster::cluster::LbConfig::RingHashLbConfig(config)) => config,
        Some(_) => return refuse("lb_config", "does not fit lb_policy RING_HASH"),
    };
    let size = |value: Option<wire::pb::google::protobuf::UInt64Value>, otherwise: u64| {
        value.map_or(otherwise, |value| value.value)
    };
    let minimum = size(config.minimum_ring_size.take(), 1024);
    let maximum = size(config.maximum_ring_size.take(), 8 << 20).min(8 << 20);
    done(&config).at("ring_hash_lb_config")?;
    if minimum > maximum {
        return refuse("ring_hash_lb_config.minimum_ring_size", "is above the maximum");
    }
    Ok(Balance::RingHash { minimum, maximum })
}

/// Largest Maglev table, as Envoy allows.
const MAX_TABLE: u64 = 5_000_011;

fn maglev(config: Option<cluster::cluster::LbConfig>) -> Lower<Balance> {
    let config = match config {
        None => Default::default(),
        Some(cluster::cluster::LbConfig::MaglevLbConfig(config)) => config,
        Some(_) => return refuse("lb_config", "does not fit lb_policy MAGLEV"),
    };
    let table = config.table_size.map_or(65_537, |size| size.value);
    let prime = table > 1 && (2..).take_while(|n| n * n <= table).all(|n| table % n != 0);
    if table > MAX_TABLE || !prime {
        return refuse("maglev_lb_config.table_size", format!("{table} is not a prime up to {MAX_TABLE}"));
    }
    Ok(Balance::Maglev { table })
}

/// The budget of retries: hundredths of a percent of active requests, and the retries that are always allowed.
pub(super) type RetryBudget = (u32, u32);

/// Maxima of connections, pending requests, requests, retries, of the default priority; and the retry budget.
pub(super) fn thresholds(
    breakers: Option<cluster::CircuitBreakers>,
) -> Lower<([u32; 4], Option<RetryBudget>)> {
    const DEFAULT: [u32; 4] = [1024, 1024, 1024, 3];
    let mut breakers = breakers.unwrap_or_default();
    let mut limits = DEFAULT;
    let mut budget = None;
    for (index, mut one) in std::mem::take(&mut breakers.thresholds).into_iter().enumerate() {
        // No route here can ask for high priority, so its thresholds have nothing to limit.
        if one.priority() == RoutingPriority::High {
            continue;
        }
        harmless!(one; track_remaining);
        limits = [
            number(one.max_connections.take(), DEFAULT[0]),
            number(one.max_pending_requests.take(), DEFAULT[1]),
            number(one.max_requests.take(), DEFAULT[2]),
            number(one.max_retries.take(), DEFAULT[3]),
        ];
        budget = one.retry_budget.take().map(retry_budget).transpose().item("thresholds", index)?;
        done(&one).item("thresholds", index)?;
    }
    done(&breakers)?;
    Ok((limits, budget))
}

fn retry_budget(mut budget: cluster::circuit_breakers::thresholds::RetryBudget) -> Lower<RetryBudget> {
    let percent = budget.budget_percent.take().map_or(20.0, |percent| percent.value);
    let least = number(budget.min_retry_concurrency.take(), 3);
    done(&budget).at("retry_budget")?;
    Ok(((percent * 100.0).round().clamp(0.0, 10_000.0) as u32, least))
}

pub(super) fn outliers(mut one: cluster::OutlierDetection) -> Lower<OutlierSettings> {
    // There is no active health check that could bring an endpoint back.
    harmless!(one; successful_active_health_check_uneject_host);
    // Kinds that are switched off need no settings.
    let off = |value: &mut Option<wire::pb::google::protobuf::UInt32Value>, otherwise: u32| {
        number(value.take(), otherwise) == 0
    };
    if !off(&mut one.enforcing_success_rate, 100) {
        return refuse("enforcing_success_rate", "ejection by success rate is not supported: set it to 0");
    }
    harmless!(one; success_rate_minimum_hosts, success_rate_request_volume, success_rate_stdev_factor);
    if !off(&mut one.enforcing_failure_percentage, 0) {
        return refuse("enforcing_failure_percentage", "ejection by failure percentage is not supported");
    }
    if !off(&mut one.enforcing_failure_percentage_local_origin, 0) {
        return refuse(
            "enforcing_failure_percentage_local_origin",
            "ejection by failure percentage is not supported",
        );
    }
    harmless!(one; failure_percentage_threshold, failure_percentage_minimum_hosts, failure_percentage_request_volume);
    let split = std::mem::take(&mut one.split_external_local_origin_errors);
    if !off(&mut one.enforcing_local_origin_success_rate, 100) && split {
        return refuse(
            "enforcing_local_origin_success_rate",
            "ejection by success rate is not supported: set it to 0",
        );
    }
    let base =
        duration_or(one.base_ejection_time.take(), Duration::from_secs(30)).at("base_ejection_time")?;
    let settings = OutlierSettings {
        consecutive_5xx: number(one.consecutive_5xx.take(), 5),
        consecutive_gateway: number(one.consecutive_gateway_failure.take(), 5),
        consecutive_local: number(one.consecutive_local_origin_failure.take(), 5),
        enforcing: [
            number(one.enforcing_consecutive_5xx.take(), 100),
            number(one.enforcing_consecutive_gateway_failure.take(), 0),
            number(one.enforcing_consecutive_local_origin_failure.take(), 100),
        ],
        interval: duration_or(one.interval.take(), Duration::from_secs(10)).at("interval")?,
        base_ejection: base,
        max_ejection: duration_or(one.max_ejection_time.take(), Duration::from_secs(300))
            .at("max_ejection_time")?
            .max(base),
        max_ejection_percent: number(one.max_ejection_percent.take(), 10),
        always_one: flag(one.always_eject_one_host.take(), false),
        split,
    };
    done(&one)?;
    Ok(settings)
}
