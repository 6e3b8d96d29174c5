//! Counters of the xDS server, under Istio's names where it has one.
//!
//! In: what connections count. Out: Prometheus families of the process's registry, served on the monitoring port.

use base::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
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

/// `{component="pilot",tag="1.2.3"}`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    component: &'static str,
    tag: &'static str,
}

/// Histograms of sizes, by type.
type Sizes = Family<TypeLabel, Histogram, fn() -> Histogram>;

/// Upper bounds of `pilot_proxy_convergence_time`, in seconds.
const SECONDS: [f64; 8] = [0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0];
/// Upper bounds of `pilot_xds_config_size_bytes`.
const BYTES: [f64; 6] = [1.0, 1e4, 1e6, 4e6, 1e7, 4e7];

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
    /// `pilot_proxy_convergence_time`: seconds from the first change of a publication until a client was sent what
    /// changed for it.
    pub convergence: Histogram,
    /// `pilot_xds_config_size_bytes{type}`: bytes of the resources of a response.
    pub sizes: Sizes,
    /// `pilot_push_triggers{type}`: changes that ask for a publication: `endpoint`, `service` or `config`.
    pub triggers: Family<TypeLabel, Counter>,
}

impl Stats {
    /// Registers all of them.
    pub fn new(metrics: &Metrics) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let info = metrics.gauge_family("pilot_info", "Pilot version and build information");
        info.get_or_create_owned(&VersionLabel { version: version.into() }).set(1);
        let build = metrics.gauge_family("istio_build", "Version of a component");
        build.get_or_create_owned(&BuildLabels { component: "pilot", tag: version }).set(1);
        let stats = Self {
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
            convergence: metrics.histogram(
                "pilot_proxy_convergence_time",
                "Seconds from a change until a client was sent what changed for it",
                &SECONDS,
            ),
            sizes: metrics.register(
                "pilot_xds_config_size_bytes",
                "Bytes of the resources of a response, by type",
                Sizes::new_with_constructor(|| Histogram::new(BYTES)),
            ),
            triggers: metrics
                .counter_family("pilot_push_triggers", "Changes that ask for a publication, by what changed"),
        };
        // A counter that appears with its first error hides that error: a rate needs the zero before it.
        for kind in Kind::ALL {
            stats.rejects.get_or_create_owned(&Self::label(kind));
            stats.stale.get_or_create_owned(&Self::label(kind));
        }
        for r#type in ["endpoint", "service", "config"] {
            stats.triggers.get_or_create_owned(&TypeLabel { r#type });
        }
        stats
    }

    pub(crate) fn label(kind: Kind) -> TypeLabel {
        TypeLabel { r#type: kind.short() }
    }
}
