//! Rules of DestinationRule and of the traffic policies that it and the mesh settings hold.

use super::meta::labels;
use super::virtual_service::subset_name;
use super::{At, Check, rules, tls};
use crate::finding::Code;
use crate::meta::Meta;
use crate::networking::{
    ConnectionPoolSettings, ConsistentHashLb, DestinationRule, H2UpgradePolicy, LoadBalancerSettings,
    LocalityLbSetting, OutlierDetection, SimpleLb, TrafficPolicy,
};
use crate::time::Duration;

/// Envoy's largest Maglev table.
const MAX_MAGLEV: u64 = 5_000_011;
/// Envoy's largest ring.
const MAX_RING: u64 = 8_388_608;

impl Check for DestinationRule {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        if rules::required(&self.host, &at.key("host"), "the host of a Service or ServiceEntry") {
            rules::wildcard_host(&self.host, &at.key("host"));
        }
        rules::export_to(&self.export_to, &at.key("exportTo"));
        rules::selector(self.workload_selector.as_ref(), &at.key("workloadSelector"));
        if let Some(policy) = &self.traffic_policy {
            traffic_policy(policy, &at.key("trafficPolicy"));
        }
        let at = at.key("subsets");
        rules::unique(self.subsets.iter().map(|s| s.name.as_str()), &at, "subset");
        at.each(&self.subsets, |at, subset| {
            if rules::required(&subset.name, &at.key("name"), "the name of the subset") {
                subset_name(&subset.name, &at.key("name"));
            }
            labels(&subset.labels, &at.key("labels"));
            if let Some(policy) = &subset.traffic_policy {
                traffic_policy(policy, &at.key("trafficPolicy"));
            }
        });
    }
}

pub(super) fn traffic_policy(policy: &TrafficPolicy, at: &At<'_>) {
    at.must(*policy != TrafficPolicy::default(), Code::Required, || {
        "the policy says nothing; set a field or remove it".to_owned()
    });
    blocks(
        policy.load_balancer.as_ref(),
        policy.connection_pool.as_ref(),
        policy.outlier_detection.as_ref(),
        at,
    );
    if let Some(settings) = &policy.tls {
        tls::client(settings, &at.key("tls"));
    }
    at.key("portLevelSettings").each(&policy.port_level_settings, |at, port| {
        match &port.port {
            Some(selector) => {
                rules::port(selector.number, &at.key("port").key("number"));
            }
            None => at.key("port").tell(Code::Required, "set port.number"),
        }
        blocks(
            port.load_balancer.as_ref(),
            port.connection_pool.as_ref(),
            port.outlier_detection.as_ref(),
            at,
        );
        if let Some(settings) = &port.tls {
            tls::client(settings, &at.key("tls"));
        }
    });
    if let Some(tunnel) = &policy.tunnel {
        let at = at.key("tunnel");
        at.key("protocol").must(
            matches!(tunnel.protocol.as_str(), "" | "CONNECT" | "POST"),
            Code::BadValue,
            || format!("{:?} is not CONNECT or POST", tunnel.protocol),
        );
        if rules::required(&tunnel.target_host, &at.key("targetHost"), "where the tunnel leads") {
            rules::host(&tunnel.target_host, &at.key("targetHost"));
        }
        rules::port(tunnel.target_port, &at.key("targetPort"));
    }
    if let Some(budget) = &policy.retry_budget {
        let at = at.key("retryBudget");
        budget.percent.inspect(|percent| rules::percent(*percent, &at.key("percent")));
        rules::span(budget.budget_interval, &at.key("budgetInterval"));
    }
}

fn blocks(
    balancer: Option<&LoadBalancerSettings>,
    pool: Option<&ConnectionPoolSettings>,
    outlier: Option<&OutlierDetection>,
    at: &At<'_>,
) {
    balancer.inspect(|balancer| load_balancer(balancer, &at.key("loadBalancer")));
    pool.inspect(|pool| connection_pool(pool, &at.key("connectionPool")));
    outlier.inspect(|outlier| outlier_detection(outlier, &at.key("outlierDetection")));
}

fn load_balancer(balancer: &LoadBalancerSettings, at: &At<'_>) {
    rules::exclusive(
        &[("simple", balancer.simple.is_some()), ("consistentHash", balancer.consistent_hash.is_some())],
        at,
    );
    if balancer.simple == Some(SimpleLb::LeastConn) {
        at.key("simple").tell(Code::Deprecated, "LEAST_CONN is deprecated; use LEAST_REQUEST");
    }
    balancer.consistent_hash.as_ref().inspect(|hash| consistent_hash(hash, &at.key("consistentHash")));
    balancer.locality_lb_setting.as_ref().inspect(|setting| locality(setting, &at.key("localityLbSetting")));
    if balancer.warmup_duration_secs.is_some() {
        at.key("warmupDurationSecs")
            .tell(Code::Deprecated, "warmupDurationSecs is deprecated; use warmup.duration");
        rules::span(balancer.warmup_duration_secs, &at.key("warmupDurationSecs"));
    }
    let slow_start = matches!(
        balancer.simple,
        None | Some(
            SimpleLb::Unspecified | SimpleLb::RoundRobin | SimpleLb::LeastRequest | SimpleLb::LeastConn
        )
    ) && balancer.consistent_hash.is_none();
    if let Some(warmup) = &balancer.warmup {
        let at = at.key("warmup");
        at.must(slow_start, Code::NoEffect, || {
            "only has an effect with ROUND_ROBIN and LEAST_REQUEST".to_owned()
        });
        at.key("duration").must(warmup.duration.is_some(), Code::Required, || "set duration".to_owned());
        rules::span(warmup.duration, &at.key("duration"));
        warmup.minimum_percent.inspect(|percent| rules::percent(*percent, &at.key("minimumPercent")));
        warmup.aggression.inspect(|aggression| {
            at.key("aggression").must(*aggression >= 1.0, Code::OutOfRange, || "use 1.0 or more".to_owned());
        });
    }
}

fn consistent_hash(hash: &ConsistentHashLb, at: &At<'_>) {
    let keys = [
        ("httpHeaderName", hash.http_header_name.is_some()),
        ("httpCookie", hash.http_cookie.is_some()),
        ("useSourceIp", hash.use_source_ip == Some(true)),
        ("httpQueryParameterName", hash.http_query_parameter_name.is_some()),
    ];
    rules::exactly_one(&keys, at);
    rules::exclusive(&[("ringHash", hash.ring_hash.is_some()), ("maglev", hash.maglev.is_some())], at);
    if let Some(cookie) = &hash.http_cookie {
        let at = at.key("httpCookie");
        rules::required(&cookie.name, &at.key("name"), "the name of the cookie");
        at.key("ttl").must(cookie.ttl.is_none_or(|ttl| !ttl.is_negative()), Code::BadDuration, || {
            "use 0s or more".to_owned()
        });
    }
    if let Some(size) = hash.maglev.as_ref().and_then(|maglev| maglev.table_size) {
        at.key("maglev").key("tableSize").must(
            size <= MAX_MAGLEV && is_prime(size),
            Code::OutOfRange,
            || format!("{size} is no prime up to {MAX_MAGLEV}, such as 65537"),
        );
    }
    if let Some(size) = hash.ring_hash.as_ref().and_then(|ring| ring.minimum_ring_size) {
        at.key("ringHash").key("minimumRingSize").must(size <= MAX_RING, Code::OutOfRange, || {
            format!("{size} is too large; use at most {MAX_RING}")
        });
    }
    if hash.minimum_ring_size.is_some() {
        at.key("minimumRingSize")
            .tell(Code::Deprecated, "minimumRingSize is deprecated; use ringHash.minimumRingSize");
    }
}

fn is_prime(number: u64) -> bool {
    number >= 2 && (2..).take_while(|d| d * d <= number).all(|d| !number.is_multiple_of(d))
}

pub(super) fn locality(setting: &LocalityLbSetting, at: &At<'_>) {
    let fields = [
        ("distribute", !setting.distribute.is_empty()),
        ("failover", !setting.failover.is_empty() || !setting.failover_priority.is_empty()),
    ];
    rules::exclusive(&fields, at);
    at.key("distribute").each(&setting.distribute, |at, distribute| {
        rules::required(&distribute.from, &at.key("from"), "region/zone/subzone");
        let total: u64 = distribute.to.values().map(|weight| u64::from(*weight)).sum();
        at.key("to")
            .must(total == 100, Code::BadWeight, || format!("the weights sum to {total}, not to 100"));
    });
    at.key("failover").each(&setting.failover, |at, failover| {
        at.must(failover.from != failover.to, Code::BadValue, || {
            "from and to are the same region".to_owned()
        });
        for (field, region) in [("from", &failover.from), ("to", &failover.to)] {
            at.key(field).must(!region.is_empty() && !region.contains(['/', '*']), Code::BadValue, || {
                format!("{region:?} is no region; zones and wildcards cannot be used here")
            });
        }
    });
}

pub(super) fn connection_pool(pool: &ConnectionPoolSettings, at: &At<'_>) {
    at.must(pool.tcp.is_some() || pool.http.is_some(), Code::Required, || "set tcp or http".to_owned());
    if let Some(tcp) = &pool.tcp {
        let at = at.key("tcp");
        rules::not_negative(tcp.max_connections, &at.key("maxConnections"));
        rules::span(tcp.connect_timeout, &at.key("connectTimeout"));
        rules::span(tcp.max_connection_duration, &at.key("maxConnectionDuration"));
        rules::span_or_zero(tcp.idle_timeout, &at.key("idleTimeout"));
        if let Some(keepalive) = &tcp.tcp_keepalive {
            let at = at.key("tcpKeepalive");
            for (field, value) in [("time", keepalive.time), ("interval", keepalive.interval)] {
                at.key(field).must(
                    value.is_none_or(|v| v >= Duration::from_secs(1)),
                    Code::BadDuration,
                    || "use at least 1s; the system counts in seconds".to_owned(),
                );
            }
        }
    }
    if let Some(http) = &pool.http {
        let at = at.key("http");
        for (field, value) in [
            ("http1MaxPendingRequests", http.http1_max_pending_requests),
            ("http2MaxRequests", http.http2_max_requests),
            ("maxRequestsPerConnection", http.max_requests_per_connection),
            ("maxRetries", http.max_retries),
            ("maxConcurrentStreams", http.max_concurrent_streams),
        ] {
            rules::not_negative(value, &at.key(field));
        }
        rules::span_or_zero(http.idle_timeout, &at.key("idleTimeout"));
        let upgrade = http.h2_upgrade_policy == H2UpgradePolicy::Upgrade;
        rules::exclusive(
            &[("useClientProtocol", http.use_client_protocol), ("h2UpgradePolicy: UPGRADE", upgrade)],
            &at,
        );
        if let Some(ping) = &http.http2_keep_alive {
            rules::span(ping.interval, &at.key("http2KeepAlive").key("interval"));
            rules::span(ping.timeout, &at.key("http2KeepAlive").key("timeout"));
        }
    }
}

fn outlier_detection(outlier: &OutlierDetection, at: &At<'_>) {
    if outlier.consecutive_errors != 0 {
        at.key("consecutiveErrors")
            .tell(Code::Deprecated, "consecutiveErrors is deprecated; use consecutive5xxErrors");
    }
    let local = outlier.consecutive_local_origin_failures.unwrap_or(0) > 0;
    at.key("consecutiveLocalOriginFailures").must(
        !local || outlier.split_external_local_origin_errors,
        Code::Exclusive,
        || "only has a meaning with splitExternalLocalOriginErrors: true; set it".to_owned(),
    );
    rules::span(outlier.interval, &at.key("interval"));
    rules::span(outlier.base_ejection_time, &at.key("baseEjectionTime"));
    rules::percent(f64::from(outlier.max_ejection_percent), &at.key("maxEjectionPercent"));
    rules::percent(f64::from(outlier.min_health_percent), &at.key("minHealthPercent"));
    at.key("outlierDetectionHttpErrorCodes").each(&outlier.outlier_detection_http_error_codes, |at, code| {
        rules::within(i64::from(*code), 100, 599, at);
    });
}
