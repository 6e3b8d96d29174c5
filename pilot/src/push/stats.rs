//! Counters of the xDS server, under Istio's names where it has one.
//!
//! In: what connections count. Out: Prometheus families of the process's registry, served on the monitoring port.

use base::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use wire::Kind;

/// `{type="cds"}`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TypeLabel {
    pub r#type: &'static str,
}

/// `{version="1.2.3"}`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VersionLabel {
    pub version: String,
}

/// The counters.
#[derive(Clone)]
pub struct Stats {
    /// `pilot_xds{version}`: connected clients by their version.
    pub connected: Family<VersionLabel, Gauge>,
    /// `pilot_xds_pushes{type}`: responses sent.
    pub pushes: Family<TypeLabel, Counter>,
    /// `pilot_xds_resources_sent_total{type}`: resources in those responses; removals are not counted.
    pub resources: Family<TypeLabel, Counter>,
    /// `pilot_total_xds_rejects{type}`: responses that a client refused.
    pub rejects: Family<TypeLabel, Counter>,
    /// `pilot_xds_expired_nonce{type}`
    pub stale: Family<TypeLabel, Counter>,
    /// `pilot_xds_views`: classes of proxies that get the same.
    pub views: Gauge,
    /// `pilot_services`
    pub services: Gauge,
}

impl Stats {
    /// Registers all of them.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            connected: metrics
                .gauge_family("pilot_xds", "Number of clients connected to this pilot over xDS"),
            pushes: metrics.counter_named(
                "pilot_xds_pushes",
                "Responses sent, by type",
                Family::<TypeLabel, Counter>::default(),
            ),
            resources: metrics.counter_named(
                "pilot_xds_resources_sent",
                "Resources sent, by type",
                Family::<TypeLabel, Counter>::default(),
            ),
            rejects: metrics.counter_named(
                "pilot_total_xds_rejects",
                "Responses that a client refused, by type",
                Family::<TypeLabel, Counter>::default(),
            ),
            stale: metrics.counter_named(
                "pilot_xds_expired_nonce",
                "Answers to a response that is not the last one",
                Family::<TypeLabel, Counter>::default(),
            ),
            views: metrics.gauge("pilot_xds_views", "Classes of proxies that get the same"),
            services: metrics.gauge("pilot_services", "Services known to this pilot"),
        }
    }

    pub(crate) fn label(kind: Kind) -> TypeLabel {
        TypeLabel { r#type: kind.short() }
    }
}
