//! Which filter chain a connection gets.
//!
//! In: the chains of a listener and what is known of the connection. Out: one chain, or none. Pure. Envoy's order:
//! destination port, destination address, server name, transport, application protocol, source address; at each
//! step the most specific criterion that matches wins and excludes the rest, with no way back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::{Chain, Listener};

/// What is known of a connection when its chain is chosen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The address the client dialled.
    pub destination: SocketAddr,
    pub source: SocketAddr,
    /// Lower case.
    pub server_name: Option<Arc<str>>,
    pub tls: bool,
    /// ALPN of the ClientHello, or the HTTP version that was found.
    pub protocols: Vec<Arc<str>>,
}

/// The chain of a connection: the best match, else the listener's default.
pub fn choose<'a>(listener: &'a Listener, seen: &Seen) -> Option<&'a Arc<Chain>> {
    best(&listener.chains, seen).or(listener.default_chain.as_ref())
}

fn best<'a>(chains: &'a [Arc<Chain>], seen: &Seen) -> Option<&'a Arc<Chain>> {
    let mut left: Vec<&Arc<Chain>> = chains.iter().collect();
    let port = seen.destination.port();
    narrow(&mut left, |c| c.matches.destination_port == Some(port), |c| c.matches.destination_port.is_none());
    by_prefix(&mut left, seen.destination.ip(), |c| &c.matches.destination);
    by_name(&mut left, seen.server_name.as_deref());
    let transport = if seen.tls { "tls" } else { "raw_buffer" };
    narrow(
        &mut left,
        |c| c.matches.transport.as_deref() == Some(transport),
        |c| c.matches.transport.as_deref().is_none_or(str::is_empty),
    );
    by_protocol(&mut left, &seen.protocols);
    by_prefix(&mut left, seen.source.ip(), |c| &c.matches.source);
    left.first().copied()
}

/// Keeps the chains that name the criterion and match, if there are any; else those that do not name it.
fn narrow(
    left: &mut Vec<&Arc<Chain>>,
    matches: impl Fn(&Chain) -> bool,
    silent: impl Fn(&Chain) -> bool,
) -> bool {
    let any = left.iter().any(|chain| matches(chain));
    left.retain(|chain| if any { matches(chain) } else { silent(chain) });
    any
}

fn by_prefix(left: &mut Vec<&Arc<Chain>>, address: IpAddr, nets: impl Fn(&Chain) -> &[IpNet] + Copy) {
    let address = address.to_canonical();
    let longest =
        |chain: &Chain| nets(chain).iter().filter(|net| net.contains(&address)).map(IpNet::prefix_len).max();
    let best = left.iter().filter_map(|chain| longest(chain)).max();
    narrow(left, |chain| best.is_some() && longest(chain) == best, |chain| nets(chain).is_empty());
}

fn by_name(left: &mut Vec<&Arc<Chain>>, name: Option<&str>) {
    let names = |chain: &Chain, wanted: &str| chain.matches.server_names.iter().any(|have| have == wanted);
    if let Some(name) = name {
        if left.iter().any(|chain| names(chain, name)) {
            left.retain(|chain| names(chain, name));
            return;
        }
        let mut rest = name;
        while let Some((_, suffix)) = rest.split_once('.') {
            let wildcard = format!("*.{suffix}");
            if left.iter().any(|chain| names(chain, &wildcard)) {
                left.retain(|chain| names(chain, &wildcard));
                return;
            }
            rest = suffix;
        }
    }
    left.retain(|chain| chain.matches.server_names.is_empty());
}

fn by_protocol(left: &mut Vec<&Arc<Chain>>, protocols: &[Arc<str>]) {
    for protocol in protocols {
        let has = |chain: &Chain| chain.matches.application_protocols.iter().any(|have| **have == **protocol);
        if left.iter().any(|chain| has(chain)) {
            left.retain(|chain| has(chain));
            return;
        }
    }
    left.retain(|chain| chain.matches.application_protocols.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{App, ChainMatch};
    use std::time::Duration;

    fn chain(name: &str, matches: ChainMatch) -> Arc<Chain> {
        Arc::new(Chain {
            name: name.into(),
            matches,
            tls: None,
            app: App::Close,
            tcp_peer_exchange: false,
            handshake_timeout: Duration::ZERO,
            version: 0,
        })
    }

    fn seen(destination: &str) -> Seen {
        Seen {
            destination: destination.parse().unwrap(),
            source: "10.9.9.9:40000".parse().unwrap(),
            server_name: None,
            tls: false,
            protocols: Vec::new(),
        }
    }

    fn pick(chains: &[Arc<Chain>], seen: &Seen) -> String {
        best(chains, seen).map_or_else(|| "none".into(), |chain| chain.name.to_string())
    }

    #[test]
    fn inbound_of_a_permissive_port() {
        let of = |port, transport: &str, alpn: &[&str]| ChainMatch {
            destination_port: port,
            transport: Some(transport.into()),
            application_protocols: alpn.iter().map(|a| (*a).to_owned()).collect(),
            ..ChainMatch::default()
        };
        let chains = [
            chain("9080-mtls-http", of(Some(9080), "tls", &["istio-http/1.1", "istio-h2", "mesh-h2"])),
            chain("9080-mtls-tcp", of(Some(9080), "tls", &["istio", "istio-peer-exchange"])),
            chain("9080-plain", of(Some(9080), "raw_buffer", &[])),
            chain("9080-tls", of(Some(9080), "tls", &[])),
            chain("catch-http", of(None, "raw_buffer", &["http/1.1", "h2c"])),
            chain("catch", of(None, "raw_buffer", &[])),
            chain("blackhole", ChainMatch { destination_port: Some(15006), ..ChainMatch::default() }),
        ];
        let tls = |alpn: &[&str]| Seen {
            tls: true,
            protocols: alpn.iter().map(|a| Arc::from(*a)).collect(),
            ..seen("10.0.0.1:9080")
        };
        assert_eq!(pick(&chains, &seen("10.0.0.1:9080")), "9080-plain");
        assert_eq!(pick(&chains, &tls(&["mesh-h2", "istio"])), "9080-mtls-http");
        assert_eq!(pick(&chains, &tls(&["istio"])), "9080-mtls-tcp");
        assert_eq!(pick(&chains, &tls(&["h2"])), "9080-tls");
        assert_eq!(
            pick(&chains, &Seen { protocols: vec!["http/1.1".into()], ..seen("10.0.0.1:1") }),
            "catch-http"
        );
        assert_eq!(pick(&chains, &seen("10.0.0.1:1")), "catch");
        assert_eq!(pick(&chains, &seen("10.0.0.1:15006")), "blackhole");
        assert_eq!(pick(&chains, &Seen { tls: true, ..seen("10.0.0.1:1") }), "none");
    }

    #[test]
    fn names_by_specificity_and_without_a_way_back() {
        let of = |names: &[&str]| ChainMatch {
            server_names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..ChainMatch::default()
        };
        let mut exact_for_plain = of(&["a.b.com"]);
        exact_for_plain.transport = Some("raw_buffer".into());
        let chains = [
            chain("any", of(&[])),
            chain("b", of(&["*.b.com"])),
            chain("com", of(&["*.com"])),
            chain("exact", exact_for_plain),
        ];
        let named = |name: &str, tls| Seen { server_name: Some(name.into()), tls, ..seen("1.1.1.1:443") };
        assert_eq!(pick(&chains, &named("a.b.com", false)), "exact");
        // The exact name excludes the wildcard even where the exact chain then fails.
        assert_eq!(pick(&chains, &named("a.b.com", true)), "none");
        assert_eq!(pick(&chains, &named("x.y.b.com", true)), "b");
        assert_eq!(pick(&chains, &named("x.com", true)), "com");
        assert_eq!(pick(&chains, &named("com", true)), "any");
        assert_eq!(pick(&chains, &seen("1.1.1.1:443")), "any");
    }

    #[test]
    fn longest_prefix_wins() {
        let of = |nets: &[&str]| ChainMatch {
            destination: nets.iter().map(|net| net.parse().unwrap()).collect(),
            ..ChainMatch::default()
        };
        let chains = [
            chain("8", of(&["10.0.0.0/8"])),
            chain("32", of(&["10.1.1.1/32", "fd00::/8"])),
            chain("all", of(&[])),
        ];
        assert_eq!(pick(&chains, &seen("10.1.1.1:80")), "32");
        assert_eq!(pick(&chains, &seen("10.2.1.1:80")), "8");
        assert_eq!(pick(&chains, &seen("[fd00::1]:80")), "32");
        assert_eq!(pick(&chains, &seen("[::ffff:10.1.1.1]:80")), "32");
        assert_eq!(pick(&chains, &seen("11.2.1.1:80")), "all");
    }
}
