//! Filter chains: match, transport, network filters up to the one that ends them.
//!
//! In: a FilterChain message. Out: `config::Chain` that ends in HTTP, TCP or a close. Its version is a hash of the
//! message: a chain that did not change keeps its connections.

use std::sync::Arc;
use std::time::Duration;

use wire::pb::envoy::config::listener::v3 as listener;
use wire::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;
use wire::pb::envoy::r#type::v3 as kinds;
use wire::pb::google::protobuf::Any;

use super::access_log::access_logs;
use super::filter::{is_typed_struct, stats_server, typed_struct};
use super::hcm::http_chain;
use super::read::{
    At, Lower, Refusal, cidr, done, duration_or, harmless, number, refuse, text, type_name, unpack,
};
use super::slots::Slots;
use super::tls;
use crate::config::{App, Chain, ChainMatch, TcpChain};

/// Lowers one chain.
pub(super) fn chain(mut one: listener::FilterChain, slots: &mut Slots) -> Lower<Chain> {
    harmless!(one; metadata);
    let version = wire::resource::hash128(&prost::Message::encode_to_vec(&one));
    let tls = tls::server(one.transport_socket.take()).at("transport_socket")?;
    let matches = one.filter_chain_match.take().map(chain_match).transpose().at("filter_chain_match")?;
    let mut ends = Ends::default();
    for (index, filter) in std::mem::take(&mut one.filters).into_iter().enumerate() {
        network_filter(filter, &mut ends, slots).item("filters", index)?;
    }
    let chain = Chain {
        name: text(std::mem::take(&mut one.name)),
        matches: matches.unwrap_or_default(),
        tls,
        tcp_peer_exchange: ends.peer_exchange,
        app: ends.app(),
        handshake_timeout: duration_or(one.transport_socket_connect_timeout.take(), Duration::ZERO)
            .at("transport_socket_connect_timeout")?,
        version,
    };
    done(&one)?;
    Ok(chain)
}

fn chain_match(mut one: listener::FilterChainMatch) -> Lower<ChainMatch> {
    let ranges = |list: Vec<_>, field: &str| {
        list.iter()
            .enumerate()
            .map(|(index, range)| cidr(range).item(field, index))
            .collect::<Lower<Vec<_>>>()
    };
    let transport = std::mem::take(&mut one.transport_protocol);
    let port = one.destination_port.take().map(|port| {
        u16::try_from(port.value)
            .or_else(|_| refuse("destination_port", format!("{} is no port", port.value)))
    });
    let lowered = ChainMatch {
        destination_port: port.transpose()?,
        destination: ranges(std::mem::take(&mut one.prefix_ranges), "prefix_ranges")?,
        server_names: std::mem::take(&mut one.server_names)
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect(),
        transport: (!transport.is_empty()).then(|| text(transport)),
        application_protocols: std::mem::take(&mut one.application_protocols),
        source: ranges(std::mem::take(&mut one.source_prefix_ranges), "source_prefix_ranges")?,
    };
    done(&one)?;
    Ok(lowered)
}

/// What the network filters came to.
#[derive(Default)]
struct Ends {
    peer_exchange: bool,
    stats: bool,
    http: Option<crate::config::HttpChain>,
    tcp: Option<TcpChain>,
}

impl Ends {
    fn app(self) -> App {
        match (self.http, self.tcp) {
            (Some(http), _) => App::Http(Arc::new(http)),
            (None, Some(tcp)) => App::Tcp(Arc::new(TcpChain { stats: self.stats, ..tcp })),
            (None, None) => App::Close,
        }
    }

    fn ended(&self) -> bool {
        self.http.is_some() || self.tcp.is_some()
    }
}

fn network_filter(mut filter: listener::Filter, ends: &mut Ends, slots: &mut Slots) -> Lower<()> {
    let name = std::mem::take(&mut filter.name);
    let any = match filter.config_type.take() {
        Some(listener::filter::ConfigType::TypedConfig(any)) => any,
        Some(listener::filter::ConfigType::ConfigDiscovery(_)) => {
            return refuse("config_discovery", format!("{name}: extension discovery is not supported"));
        }
        None => return Err(Refusal::new(format!("filter {name} has no typed_config"))),
    };
    if ends.ended() {
        return Err(Refusal::new(format!("filter {name} comes after the one that ends the chain")));
    }
    match type_name(&any.type_url) {
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
            ends.http = Some(http_chain(&any.value, slots).at("typed_config")?);
        }
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" => {
            ends.tcp = Some(tcp_chain(unpack(&any)?, slots).at("typed_config")?);
        }
        "envoy.extensions.filters.network.sni_cluster.v3.SniCluster" => {
            return refuse("typed_config", "sni_cluster is not supported");
        }
        _ => match special(&any).at("typed_config")? {
            Some(Special::PeerExchange) => ends.peer_exchange = true,
            Some(Special::Stats) => ends.stats = true,
            None => {
                return refuse(
                    "",
                    format!("network filter {name} ({}) is not supported", type_name(&any.type_url)),
                );
            }
        },
    }
    Ok(())
}

/// Istio's own network filters.
pub(super) enum Special {
    PeerExchange,
    Stats,
}

/// Recognises them, typed or as `TypedStruct`.
pub(super) fn special(any: &Any) -> Lower<Option<Special>> {
    let (name, value) = match type_name(&any.type_url) {
        name if is_typed_struct(name) => typed_struct(any)?,
        name => (name.to_owned(), serde_json::Map::new()),
    };
    match name.as_str() {
        "envoy.tcp.metadataexchange.config.MetadataExchange" => {
            let protocol = value.get("protocol").and_then(serde_json::Value::as_str);
            match protocol {
                None | Some("istio-peer-exchange") => Ok(Some(Special::PeerExchange)),
                Some(other) => refuse("value.protocol", format!("{other} is not supported")),
            }
        }
        "stats.PluginConfig" => stats_server(&value).at("value").map(|_| Some(Special::Stats)),
        _ => Ok(None),
    }
}

fn tcp_chain(mut one: tcp::TcpProxy, slots: &mut Slots) -> Lower<TcpChain> {
    let targets = match one.cluster_specifier.take() {
        Some(tcp::tcp_proxy::ClusterSpecifier::Cluster(name)) => vec![(slots.cluster(&name), 1)],
        Some(tcp::tcp_proxy::ClusterSpecifier::WeightedClusters(list)) => {
            let mut targets = Vec::new();
            for (index, mut share) in list.clusters.into_iter().enumerate() {
                let target =
                    (slots.cluster(&std::mem::take(&mut share.name)), std::mem::take(&mut share.weight));
                done(&share).item("weighted_clusters.clusters", index)?;
                targets.push(target);
            }
            if targets.iter().all(|(_, weight)| *weight == 0) {
                return refuse("weighted_clusters", "all weights are zero");
            }
            targets
        }
        None => return refuse("cluster_specifier", "a TCP proxy needs a cluster"),
    };
    let mut hash_source_ip = false;
    for (index, policy) in std::mem::take(&mut one.hash_policy).into_iter().enumerate() {
        match policy.policy_specifier {
            Some(kinds::hash_policy::PolicySpecifier::SourceIp(_)) => hash_source_ip = true,
            _ => return refuse(format!("hash_policy[{index}]"), "only source_ip is supported"),
        }
    }
    if number(one.max_connect_attempts, 1) > 1 {
        return refuse("max_connect_attempts", "more than one attempt is not supported");
    }
    harmless!(one; max_connect_attempts);
    let chain = TcpChain {
        stat_prefix: text(std::mem::take(&mut one.stat_prefix)),
        targets,
        idle_timeout: duration_or(one.idle_timeout.take(), Duration::from_secs(3600)).at("idle_timeout")?,
        access_logs: access_logs(std::mem::take(&mut one.access_log))?,
        stats: false,
        sni_cluster: false,
        hash_source_ip,
    };
    done(&one)?;
    Ok(chain)
}
