//! Route configurations: announced virtual hosts for delta clients, inline ones for the others.
//!
//! Inline virtual hosts are joined as the bytes that they already are, so that a state-of-the-world client and a
//! delta client read the same.

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::route::v3::route::Action as PbAction;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    Decorator, Route, RouteAction, RouteConfiguration, Vhds, VirtualHost,
};
use prost::Message;

use super::{action, retry, rule};
use crate::model::service::Protocol;
use crate::xds::names::{self, ClusterName, RouteName};
use crate::xds::proto::{ads, boolean, secs, uint32};

/// Direct responses may be this long.
const MAX_BODY: u32 = 1024 * 1024;

/// All that a route configuration may depend on, but for the bytes of its virtual hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    pub name: RouteName,
    /// Virtual hosts come as resources of their own.
    pub announced: bool,
    /// Ports are part of the names that virtual hosts answer to.
    pub ports_count: bool,
    pub rest: Rest,
    /// Versions of the inline virtual hosts, in order.
    pub hosts: Vec<String>,
}

/// What happens to hosts that nothing answers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rest {
    /// 404.
    Nothing,
    /// To this cluster: where the client wanted to go, or who takes everything.
    Pass(String),
    /// 502.
    Block,
    /// 404 by a virtual host `blackhole:PORT`.
    Blackhole(u16),
}

/// Builds the table and appends the encoded virtual hosts.
pub fn build(input: &Table, hosts: &[Bytes]) -> Bytes {
    let config = RouteConfiguration {
        name: input.name.to_string(),
        virtual_hosts: rest(&input.rest).into_iter().collect(),
        vhds: input.announced.then(|| Vhds { config_source: Some(ads()) }),
        validate_clusters: Some(boolean(false)),
        max_direct_response_body_size_bytes: Some(uint32(MAX_BODY)),
        ignore_port_in_host_matching: !input.ports_count,
        ..Default::default()
    };
    let mut bytes =
        BytesMut::with_capacity(config.encoded_len() + hosts.iter().map(|h| h.len() + 8).sum::<usize>());
    config.encode(&mut bytes).expect("a growing buffer has room");
    for host in hosts {
        // Field 2, length-delimited: one more `virtual_hosts`.
        bytes.put_u8(0x12);
        prost::encoding::encode_varint(host.len() as u64, &mut bytes);
        bytes.extend_from_slice(host);
    }
    bytes.freeze()
}

fn rest(rest: &Rest) -> Option<VirtualHost> {
    let (name, route) = match rest {
        Rest::Nothing => return None,
        Rest::Pass(cluster) => {
            let pass = RouteAction {
                timeout: Some(secs(0)),
                cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.clone())),
                ..Default::default()
            };
            (names::ALLOW_ANY.to_owned(), named_route(names::ALLOW_ANY, PbAction::Route(pass)))
        }
        Rest::Block => {
            let block = PbAction::DirectResponse(action::respond(502, Vec::new()));
            (names::BLOCK_ALL.to_owned(), named_route(names::BLOCK_ALL, block))
        }
        Rest::Blackhole(port) => {
            let none = PbAction::DirectResponse(action::respond(404, Vec::new()));
            (names::virtual_host("blackhole", *port), named_route("", none))
        }
    };
    Some(VirtualHost {
        name,
        domains: vec!["*".to_owned()],
        routes: vec![route],
        include_request_attempt_count: true,
        ..Default::default()
    })
}

fn named_route(name: &str, action: PbAction) -> Route {
    Route { name: name.to_owned(), r#match: Some(rule::always()), action: Some(action), ..Default::default() }
}

/// The inline table of an inbound chain: everything to the application.
pub fn inbound(name: &str, cluster: &ClusterName, operation: &str, protocol: Protocol) -> RouteConfiguration {
    let forward = RouteAction {
        timeout: Some(secs(0)),
        retry_policy: (!protocol.is_grpc()).then(retry::inbound),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_string())),
        ..Default::default()
    };
    let mut route = named_route("default", PbAction::Route(forward));
    route.decorator = Some(Decorator { operation: operation.to_owned(), propagate: None });
    let host = VirtualHost {
        name: "inbound|http|".to_owned() + name.trim_start_matches("inbound|").trim_end_matches("||"),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        ..Default::default()
    };
    RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: vec![host],
        validate_clusters: Some(boolean(false)),
        ..Default::default()
    }
}
