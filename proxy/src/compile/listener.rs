//! Listeners: addresses, listener filters, chains.
//!
//! In: a Listener message. Out: `config::Listener`: what to look at before a chain is chosen, and the chains. Called
//! by `lower`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::config::listener::v3 as listener;
use wire::pb::envoy::extensions::filters::listener::{
    http_inspector::v3 as http_inspector, original_dst::v3 as original_dst, original_src::v3 as original_src,
    proxy_protocol::v3 as proxy_protocol, tls_inspector::v3 as tls_inspector,
};

use super::access_log::access_logs;
use super::chain::chain;
use super::read::{
    At, Lower, Refusal, done, duration_or, flag, harmless, refuse, socket_address, text, type_name, unpack,
};
use super::slots::Slots;
use crate::config::{Direction, Inspect, Listener};

/// Lowers a listener.
pub(super) fn listener(mut one: listener::Listener, version: &str, slots: &mut Slots) -> Lower<Listener> {
    // Workers share sockets in their own way; buffers are bounded by the data path; the rest is about metrics.
    harmless!(one; stat_prefix, stats_matcher, metadata, per_connection_buffer_limit_bytes, connection_balance_config);
    harmless!(one; reuse_port, enable_reuse_port, tcp_backlog_size, max_connections_to_accept_per_socket_event);
    harmless!(one; ignore_global_conn_limit, bypass_overload_manager, freebind);
    let direction = match one.traffic_direction() {
        core::TrafficDirection::Unspecified => Direction::Unspecified,
        core::TrafficDirection::Inbound => Direction::Inbound,
        core::TrafficDirection::Outbound => Direction::Outbound,
    };
    one.traffic_direction = 0;
    let mut addresses = vec![socket_address(one.address.take()).at("address")?];
    for (index, mut more) in std::mem::take(&mut one.additional_addresses).into_iter().enumerate() {
        let place = format!("additional_addresses[{index}]");
        addresses.push(socket_address(more.address.take()).at("address").at(&place)?);
        done(&more).at(&place)?;
    }
    let bind = flag(one.bind_to_port.take(), true)
        && one.deprecated_v1.take().is_none_or(|old| flag(old.bind_to_port, true));
    let inspect = inspect(std::mem::take(&mut one.listener_filters))?;
    let chains = std::mem::take(&mut one.filter_chains).into_iter().enumerate();
    let chains = chains.map(|(index, one)| chain(one, slots).item("filter_chains", index).map(Arc::new));
    let chains = chains.collect::<Lower<Vec<_>>>()?;
    let default_chain = one.default_filter_chain.take().map(|one| chain(one, slots));
    let default_chain = default_chain.transpose().at("default_filter_chain")?.map(Arc::new);
    let lowered = Listener {
        name: text(std::mem::take(&mut one.name)),
        addresses,
        bind,
        transparent: flag(one.transparent.take(), false),
        hand_over: flag(one.use_original_dst.take(), false),
        direction,
        inspect,
        inspect_timeout: duration_or(one.listener_filters_timeout.take(), Duration::from_secs(15))
            .at("listener_filters_timeout")?,
        inspect_continue: std::mem::take(&mut one.continue_on_listener_filters_timeout),
        chains,
        default_chain,
        access_logs: access_logs(std::mem::take(&mut one.access_log))?,
        version: version.into(),
    };
    done(&one)?;
    if lowered.chains.is_empty() && lowered.default_chain.is_none() {
        return refuse("filter_chains", "a listener needs a filter chain");
    }
    Ok(lowered)
}

fn inspect(list: Vec<listener::ListenerFilter>) -> Lower<Inspect> {
    let mut inspect = Inspect::default();
    for (index, filter) in list.into_iter().enumerate() {
        listener_filter(filter, &mut inspect).item("listener_filters", index)?;
    }
    Ok(inspect)
}

/// Destination ports, the one condition under which a listener filter can be off.
fn ports(predicate: listener::ListenerFilterChainMatchPredicate) -> Lower<Vec<Range<u16>>> {
    use listener::listener_filter_chain_match_predicate::Rule;
    match predicate.rule {
        Some(Rule::DestinationPortRange(range)) => {
            let bounds = (u16::try_from(range.start), u16::try_from(range.end));
            let (Ok(start), Ok(end)) = bounds else {
                return refuse(
                    "destination_port_range",
                    format!("{}..{} are no ports", range.start, range.end),
                );
            };
            Ok(std::iter::once(start..end).collect())
        }
        Some(Rule::OrMatch(set)) => {
            set.rules.into_iter().map(ports).collect::<Lower<Vec<_>>>().map(|all| all.concat())
        }
        _ => Err(Refusal::new("only destination ports can switch a listener filter off")),
    }
}

fn listener_filter(mut filter: listener::ListenerFilter, inspect: &mut Inspect) -> Lower<()> {
    let name = std::mem::take(&mut filter.name);
    let any = match filter.config_type.take() {
        Some(listener::listener_filter::ConfigType::TypedConfig(any)) => any,
        Some(listener::listener_filter::ConfigType::ConfigDiscovery(_)) => {
            return refuse("config_discovery", format!("{name}: extension discovery is not supported"));
        }
        None => return Err(Refusal::new(format!("{name} has no typed_config"))),
    };
    let off = filter.filter_disabled.take().map(ports).transpose().at("filter_disabled")?.unwrap_or_default();
    done(&filter)?;
    match type_name(&any.type_url) {
        "envoy.extensions.filters.listener.original_dst.v3.OriginalDst" if off.is_empty() => {
            done(&unpack::<original_dst::OriginalDst>(&any)?).at("typed_config")?;
            inspect.original_dst = true;
        }
        "envoy.extensions.filters.listener.original_src.v3.OriginalSrc" if off.is_empty() => {
            let mut config: original_src::OriginalSrc = unpack(&any)?;
            // Envoy does not implement it either.
            harmless!(config; bind_port);
            inspect.original_src = Some(std::mem::take(&mut config.mark));
            done(&config).at("typed_config")?;
        }
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" => {
            let mut config: tls_inspector::TlsInspector = unpack(&any)?;
            harmless!(config; initial_read_buffer_size, max_client_hello_size);
            done(&config).at("typed_config")?;
            inspect.tls = true;
            inspect.tls_off = off;
        }
        "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector" => {
            done(&unpack::<http_inspector::HttpInspector>(&any)?).at("typed_config")?;
            inspect.http = true;
            inspect.http_off = off;
        }
        "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol" if off.is_empty() => {
            let mut config: proxy_protocol::ProxyProtocol = unpack(&any)?;
            harmless!(config; stat_prefix);
            done(&config).at("typed_config")?;
            inspect.proxy_protocol = true;
        }
        _ if !off.is_empty() => return refuse("filter_disabled", format!("not supported for {name}")),
        other => return refuse("typed_config", format!("listener filter {name} ({other}) is not supported")),
    }
    Ok(())
}
