//! Clusters: how endpoints are found, reached and watched. Balancing is in `balance`, endpoints in `endpoint`.
//!
//! In: a Cluster message. Out: a [`ClusterPart`]: settings, limits, inline endpoints, and the key that says whether
//! its connections may be kept. Called by `lower`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use wire::pb::envoy::config::cluster::v3 as cluster;
use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::extensions::upstreams::http::v3 as upstreams;
use wire::pb::google::protobuf as google;

use super::balance::{balance, outliers, thresholds};
use super::chain::{Special, special};
use super::endpoint::{Assignment, assignment};
use super::hcm::common_options;
use super::http2::h2_options;
use super::read::{At, Lower, done, duration_or, harmless, number, refuse, text, unpack};
use super::tls;
use crate::cluster::OutlierSettings;
use crate::config::{
    BindSource, ClusterSettings, Discovery, DnsFamily, Keepalive, ServiceIdentity, TlsMatch, UpstreamHttp,
    UpstreamTls,
};

const PROTOCOL_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster before it adopts the live state of its predecessor.
#[derive(Debug)]
pub struct ClusterPart {
    pub name: Arc<str>,
    pub settings: ClusterSettings,
    /// Maxima of connections, pending requests, requests, retries.
    pub limits: [u32; 4],
    /// Parts of 10 000 of the active requests that may be retries, and how many always may.
    pub retry_budget: Option<(u32, u32)>,
    pub outliers: Option<OutlierSettings>,
    /// `load_assignment`, of static and DNS clusters.
    pub inline: Option<Arc<Assignment>>,
    /// Equal: connections of one version may serve the other.
    pub connection_key: u128,
    pub version: Arc<str>,
}

/// Lowers a cluster.
pub(super) fn cluster(mut one: cluster::Cluster, version: &str) -> Lower<ClusterPart> {
    // Names of metrics; buffers bounded by the data path; DNS answers are asked again at `dns_refresh_rate`; there is
    // no warming and no active health check that these could be about.
    harmless!(one; alt_stat_name, stats_matcher, per_connection_buffer_limit_bytes, wait_for_warm_on_init);
    harmless!(one; dns_jitter, dns_failure_refresh_rate, respect_dns_ttl, use_tcp_for_dns_lookups, cleanup_interval);
    harmless!(one; track_timeout_budgets, track_cluster_stats, ignore_health_on_host_removal);
    let connection_key = connection_key(&one);
    let name = text(std::mem::take(&mut one.name));
    let discovery = discovery(&mut one, &name)?;
    let inline =
        one.load_assignment.take().map(|one| assignment(one, version)).transpose().at("load_assignment")?;
    let balance = balance(&mut one)?;
    let http = protocol(&mut one)?;
    let mut settings = ClusterSettings {
        discovery,
        balance: balance.rule,
        panic_threshold: balance.panic_threshold,
        locality_weighted: balance.locality_weighted,
        slow_start: balance.slow_start,
        connect_timeout: duration_or(one.connect_timeout.take(), Duration::from_secs(5))
            .at("connect_timeout")?,
        tls_matches: tls_matches(std::mem::take(&mut one.transport_socket_matches))?,
        tls: tls::client(one.transport_socket.take()).at("transport_socket")?,
        http: http.version,
        h2: http.h2,
        idle_timeout: http.idle_timeout,
        max_connection_duration: http.max_duration,
        max_requests_per_connection: http.max_requests,
        preserve_header_case: http.preserve_case,
        bind: one
            .upstream_bind_config
            .take()
            .map(bind)
            .transpose()
            .at("upstream_bind_config")?
            .unwrap_or_default(),
        keepalive: keepalive(one.upstream_connection_options.take()).at("upstream_connection_options")?,
        tcp_peer_exchange: upstream_filters(std::mem::take(&mut one.filters))?,
        service: one.metadata.take().and_then(|metadata| service(&metadata)).map(Arc::new),
        dns_refresh: duration_or(one.dns_refresh_rate.take(), Duration::from_secs(5))
            .at("dns_refresh_rate")?,
        dns_family: dns_family(&mut one),
    };
    if http.auto_sni {
        auto_sni(&mut settings, http.match_sni);
    }
    let (limits, retry_budget) = thresholds(one.circuit_breakers.take()).at("circuit_breakers")?;
    let outliers = one.outlier_detection.take().map(outliers).transpose().at("outlier_detection")?;
    done(&one)?;
    Ok(ClusterPart {
        name,
        settings,
        limits,
        retry_budget,
        outliers,
        inline,
        connection_key,
        version: version.into(),
    })
}

/// Hash of everything that a connection depends on.
fn connection_key(one: &cluster::Cluster) -> u128 {
    let mut options: Vec<_> = one.typed_extension_protocol_options.iter().collect();
    options.sort_by_key(|(name, _)| *name);
    let matches: Vec<_> = one
        .transport_socket_matches
        .iter()
        .map(|one| {
            let labels = one.r#match.as_ref().map(wire::structs::encode).unwrap_or_default();
            (&one.name, labels, one.transport_socket.as_ref().map(Message::encode_to_vec))
        })
        .collect();
    wire::resource::hash128(&(
        matches,
        one.transport_socket.as_ref().map(Message::encode_to_vec),
        options.into_iter().map(|(name, any)| (name, &any.value)).collect::<Vec<_>>(),
        one.upstream_bind_config.as_ref().map(Message::encode_to_vec),
        one.upstream_connection_options.as_ref().map(Message::encode_to_vec),
        one.filters.iter().map(Message::encode_to_vec).collect::<Vec<_>>(),
        one.http2_protocol_options.as_ref().map(Message::encode_to_vec),
        one.protocol_selection,
    ))
}

fn discovery(one: &mut cluster::Cluster, name: &Arc<str>) -> Lower<Discovery> {
    use cluster::cluster::{ClusterDiscoveryType as T, DiscoveryType as D};
    let kind = match one.cluster_discovery_type.take() {
        None => D::Static,
        Some(T::Type(number)) => {
            D::try_from(number).or_else(|_| refuse("type", format!("{number} is not known")))?
        }
        Some(T::ClusterType(custom)) => {
            return refuse("cluster_type", format!("{} is not supported", custom.name));
        }
    };
    Ok(match kind {
        D::Static => Discovery::Static,
        D::StrictDns => Discovery::StrictDns,
        D::LogicalDns => Discovery::LogicalDns,
        D::Eds => {
            use core::config_source::ConfigSourceSpecifier as S;
            let config = one.eds_cluster_config.take().unwrap_or_default();
            if let Some(S::Path(_) | S::PathConfigSource(_)) =
                config.eds_config.and_then(|source| source.config_source_specifier)
            {
                return refuse("eds_cluster_config.eds_config", "endpoints from files are not supported");
            }
            let service = config.service_name;
            Discovery::Eds(if service.is_empty() { name.clone() } else { text(service) })
        }
        D::OriginalDst => {
            let mut config = match one.lb_config.take() {
                Some(cluster::cluster::LbConfig::OriginalDstLbConfig(config)) => config,
                Some(_) => return refuse("lb_config", "does not fit type ORIGINAL_DST"),
                None => Default::default(),
            };
            let port = config.upstream_port_override.take().map(|port| {
                u16::try_from(port.value)
                    .or_else(|_| refuse("original_dst_lb_config.upstream_port_override", "no port"))
            });
            let use_header = std::mem::take(&mut config.use_http_header);
            if config.http_header_name.eq_ignore_ascii_case("x-envoy-original-dst-host") {
                config.http_header_name.clear();
            }
            done(&config).at("original_dst_lb_config")?;
            Discovery::OriginalDst { use_header, port_override: port.transpose()? }
        }
    })
}

fn tls_matches(list: Vec<cluster::cluster::TransportSocketMatch>) -> Lower<Vec<TlsMatch>> {
    let one = |mut one: cluster::cluster::TransportSocketMatch| {
        let mut labels: Vec<_> =
            one.r#match.take().map(|labels| super::endpoint::labels(&labels)).unwrap_or_default();
        labels.sort();
        let tls = tls::client(one.transport_socket.take()).at("transport_socket")?;
        Ok(TlsMatch { name: text(std::mem::take(&mut one.name)), labels, tls })
    };
    let list = list.into_iter().enumerate();
    list.map(|(index, each)| one(each).item("transport_socket_matches", index)).collect()
}

/// How HTTP is spoken upstream.
struct Protocol {
    version: UpstreamHttp,
    h2: crate::config::H2Options,
    idle_timeout: Duration,
    max_duration: Duration,
    max_requests: u32,
    preserve_case: bool,
    auto_sni: bool,
    match_sni: bool,
}

fn protocol(one: &mut cluster::Cluster) -> Lower<Protocol> {
    let mut options = upstreams::HttpProtocolOptions::default();
    for (name, any) in std::mem::take(&mut one.typed_extension_protocol_options) {
        let field = format!("typed_extension_protocol_options.{name}");
        if name != PROTOCOL_OPTIONS {
            return refuse(field, "not supported by this proxy");
        }
        options = unpack(&any).at(&field)?;
    }
    typed_protocol(one, options).at("typed_extension_protocol_options")
}

fn typed_protocol(
    one: &mut cluster::Cluster,
    mut options: upstreams::HttpProtocolOptions,
) -> Lower<Protocol> {
    use upstreams::http_protocol_options::{
        UpstreamProtocolOptions as U, explicit_http_config::ProtocolConfig as P,
    };
    let old_h2 = one.http2_protocol_options.take();
    let downstream =
        one.protocol_selection() == cluster::cluster::ClusterProtocolSelection::UseDownstreamProtocol;
    one.protocol_selection = 0;
    let (version, h1, h2) = match options.upstream_protocol_options.take() {
        None if downstream => (UpstreamHttp::Downstream, None, old_h2),
        None if old_h2.is_some() => (UpstreamHttp::Http2, None, old_h2),
        None => (UpstreamHttp::Http1, one.http_protocol_options.take(), None),
        Some(U::ExplicitHttpConfig(config)) => match config.protocol_config {
            Some(P::Http2ProtocolOptions(h2)) => (UpstreamHttp::Http2, None, Some(h2)),
            Some(P::HttpProtocolOptions(h1)) => (UpstreamHttp::Http1, Some(h1), None),
            Some(P::Http3ProtocolOptions(_)) => {
                return refuse("explicit_http_config", "HTTP/3 is not supported");
            }
            None => return refuse("explicit_http_config", "names no protocol"),
        },
        Some(U::UseDownstreamProtocolConfig(config)) => {
            (UpstreamHttp::Downstream, config.http_protocol_options, config.http2_protocol_options)
        }
        Some(U::AutoConfig(config)) => {
            (UpstreamHttp::Auto, config.http_protocol_options, config.http2_protocol_options)
        }
    };
    let common = options.common_http_protocol_options.take().or(one.common_http_protocol_options.take());
    let common = common_options(common).at("common_http_protocol_options")?;
    let old_sni = one.upstream_http_protocol_options.take();
    let sni = options.upstream_http_protocol_options.take().or(old_sni).unwrap_or_default();
    if sni.auto_san_validation && !sni.auto_sni {
        return refuse("upstream_http_protocol_options.auto_san_validation", "needs auto_sni here");
    }
    if !sni.override_auto_sni_header.is_empty() {
        return refuse(
            "upstream_http_protocol_options.override_auto_sni_header",
            "not supported by this proxy",
        );
    }
    done(&options)?;
    let old_max = number(one.max_requests_per_connection.take(), 0);
    Ok(Protocol {
        version,
        h2: h2_options(h2).at("http2_protocol_options")?,
        idle_timeout: common.idle_timeout,
        max_duration: common.max_duration,
        max_requests: if common.max_requests == 0 { old_max } else { common.max_requests },
        preserve_case: preserve_case(h1.unwrap_or_default()).at("http_protocol_options")?,
        auto_sni: sni.auto_sni,
        match_sni: sni.auto_san_validation,
    })
}

fn preserve_case(mut options: core::Http1ProtocolOptions) -> Lower<bool> {
    use core::http1_protocol_options::header_key_format::HeaderFormat as F;
    harmless!(options; allow_absolute_url, enable_trailers, use_balsa_parser);
    let preserve = match options.header_key_format.take().and_then(|format| format.header_format) {
        None => false,
        Some(F::StatefulFormatter(config)) if config.name.contains("preserve_case") => true,
        Some(_) => return refuse("header_key_format", "only preserve_case is supported"),
    };
    done(&options)?;
    Ok(preserve)
}

fn auto_sni(settings: &mut ClusterSettings, match_sni: bool) {
    let with = |tls: &UpstreamTls| {
        let mut tls = (**tls.as_ref()?).clone();
        tls.auto_sni = true;
        if let Some(validation) = &mut tls.validation {
            validation.match_sni |= match_sni;
        }
        Some(Arc::new(tls))
    };
    settings.tls = with(&settings.tls);
    for one in &mut settings.tls_matches {
        one.tls = with(&one.tls);
    }
}

fn bind(mut config: core::BindConfig) -> Lower<BindSource> {
    harmless!(config; freebind);
    let mut bind = BindSource::default();
    if let Some(source) = config.source_address.take() {
        bind_one(source, &mut bind).at("source_address")?;
    }
    for (index, mut extra) in std::mem::take(&mut config.extra_source_addresses).into_iter().enumerate() {
        if let Some(source) = extra.address.take() {
            bind_one(source, &mut bind).at("address").item("extra_source_addresses", index)?;
        }
        done(&extra).item("extra_source_addresses", index)?;
    }
    done(&config)?;
    Ok(bind)
}

/// The first of each family counts.
fn bind_one(mut source: core::SocketAddress, bind: &mut BindSource) -> Lower<()> {
    let (host, port) = super::read::host_port(&mut source)?;
    if port != 0 {
        return refuse("port_value", "only port 0 is supported");
    }
    match host.parse().or_else(|_| refuse("address", format!("{host:?} is no IP address")))? {
        IpAddr::V4(address) => _ = bind.v4.get_or_insert(address),
        IpAddr::V6(address) => _ = bind.v6.get_or_insert(address),
    }
    Ok(())
}

fn keepalive(options: Option<cluster::UpstreamConnectionOptions>) -> Lower<Option<Keepalive>> {
    let Some(mut options) = options else { return Ok(None) };
    harmless!(options; set_local_interface_name_on_upstream_connections);
    let seconds =
        |value: Option<google::UInt32Value>| value.map(|value| Duration::from_secs(value.value.into()));
    let keepalive = options.tcp_keepalive.take().map(|one| Keepalive {
        idle: seconds(one.keepalive_time),
        interval: seconds(one.keepalive_interval),
        probes: one.keepalive_probes.map(|value| value.value),
    });
    done(&options)?;
    Ok(keepalive)
}

/// True where TCP peer metadata is exchanged.
fn upstream_filters(list: Vec<cluster::Filter>) -> Lower<bool> {
    let mut exchange = false;
    for (index, filter) in list.into_iter().enumerate() {
        let Some(any) = &filter.typed_config else {
            return refuse(format!("filters[{index}]"), "has no typed_config");
        };
        match special(any).item("filters", index)? {
            Some(Special::PeerExchange) => exchange = true,
            _ => return refuse(format!("filters[{index}]"), format!("{} is not supported", filter.name)),
        }
    }
    Ok(exchange)
}

fn service(metadata: &core::Metadata) -> Option<ServiceIdentity> {
    let istio = wire::structs::to_map(metadata.filter_metadata.get("istio")?);
    let service = istio.get("services")?.as_array()?.first()?;
    let field =
        |key: &str| Arc::<str>::from(service.get(key).and_then(|value| value.as_str()).unwrap_or_default());
    Some(ServiceIdentity { host: field("host"), name: field("name"), namespace: field("namespace") })
}

fn dns_family(one: &mut cluster::Cluster) -> DnsFamily {
    use cluster::cluster::DnsLookupFamily as F;
    let family = match one.dns_lookup_family() {
        F::Auto => DnsFamily::Auto,
        F::V4Only => DnsFamily::V4Only,
        F::V6Only => DnsFamily::V6Only,
        F::V4Preferred => DnsFamily::V4Preferred,
        F::All => DnsFamily::All,
    };
    one.dns_lookup_family = 0;
    family
}
