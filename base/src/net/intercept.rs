//! The rules that send a pod's TCP and DNS traffic through the proxy beside it.
//!
//! In: ports, the proxy's socket mark, and what the pod's annotations include and exclude (the
//! meaning of `traffic.sidecar.istio.io/*`). Out: one nftables table named `mesh` per address family.
//! The proxy's own traffic is known by its mark and not by a user id, because in an unprivileged user
//! namespace there is only one. Called for every pod with a sidecar, on a socket of its namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netlink::{Netlink, Refused};
use super::nft::{Action, At, Batch, Family, Hook, L4, Match};
use super::route::LOOPBACK;

const TABLE: &str = "mesh";
const OUTPUT: &str = "output";
const INBOUND: &str = "inbound";
const TO_INBOUND: &str = "to_inbound";
const DNS: u16 = 53;
const TUNNEL: u16 = 15008;

/// What is intercepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interception {
    /// Where outbound TCP goes; 15001.
    pub outbound: u16,
    /// Where inbound TCP goes; 15006.
    pub inbound: u16,
    /// Where DNS questions go; 15053; none leaves them alone.
    pub dns: Option<u16>,
    /// Resolvers whose questions are taken.
    pub resolvers: Vec<IpAddr>,
    /// Mark of the proxy's own sockets; 1337.
    pub mark: u32,
    /// Inbound ports to take (`includeInboundPorts`); `None` is all (`*`).
    pub include_inbound: Option<Vec<u16>>,
    /// Inbound ports to leave alone (`excludeInboundPorts` and the proxy's own).
    pub exclude_inbound: Vec<u16>,
    /// Destination ports taken whatever the address (`includeOutboundPorts`).
    pub include_outbound: Vec<u16>,
    /// Destination ports left alone (`excludeOutboundPorts`).
    pub exclude_outbound: Vec<u16>,
    /// Destinations taken (`includeOutboundIPRanges`); `None` is all (`*`).
    pub include_ranges: Option<Vec<(IpAddr, u8)>>,
    /// Destinations left alone (`excludeOutboundIPRanges`).
    pub exclude_ranges: Vec<(IpAddr, u8)>,
}

impl Default for Interception {
    fn default() -> Self {
        Self {
            outbound: 15001,
            inbound: 15006,
            dns: None,
            resolvers: Vec::new(),
            mark: 1337,
            include_inbound: None,
            exclude_inbound: vec![15020, 15021, 15090],
            include_outbound: Vec::new(),
            exclude_outbound: Vec::new(),
            include_ranges: None,
            exclude_ranges: Vec::new(),
        }
    }
}

impl Interception {
    /// Puts the rules in force, replacing earlier ones, in both address families.
    pub fn apply(&self, socket: &Netlink) -> Result<(), Refused> {
        let mut batch = Batch::new();
        for family in [Family::Ip, Family::Ip6] {
            self.table(&mut batch, family);
        }
        batch.commit(socket)
    }

    fn table(&self, batch: &mut Batch, family: Family) {
        batch.fresh_table(family, TABLE);
        batch.chain(family, TABLE, TO_INBOUND, None);
        batch.chain(family, TABLE, OUTPUT, Some(Hook::NatOutput));
        batch.chain(family, TABLE, INBOUND, Some(Hook::NatPrerouting));
        let at = |chain| At { family, table: TABLE, chain };
        batch.rule(at(TO_INBOUND), &[Match::Proto(L4::Tcp)], &Action::Redirect(self.inbound));
        for (matches, action) in self.own_traffic(family).into_iter().chain(self.outbound(family)) {
            batch.rule(at(OUTPUT), &matches, &action);
        }
        for (matches, action) in self.inbound() {
            batch.rule(at(INBOUND), &matches, &action);
        }
    }

    /// Traffic of the proxy, and of the application to itself.
    fn own_traffic(&self, family: Family) -> Vec<(Vec<Match>, Action)> {
        let (local, passthrough): ((IpAddr, u8), (IpAddr, u8)) = match family {
            Family::Ip => ((Ipv4Addr::LOCALHOST.into(), 32), (Ipv4Addr::new(127, 0, 0, 6).into(), 32)),
            Family::Ip6 => {
                ((Ipv6Addr::LOCALHOST.into(), 128), (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6).into(), 128))
            }
        };
        let (lo, tcp) = (Match::Out(LOOPBACK), Match::Proto(L4::Tcp));
        vec![
            // The proxy delivers to the application from this address.
            (vec![lo, Match::From(passthrough.0, passthrough.1)], Action::Accept),
            // The proxy calls this very pod by its address: through the inbound side, as from elsewhere.
            (
                vec![
                    lo,
                    tcp,
                    Match::NotTo(local.0, local.1),
                    Match::NotPort(DNS),
                    Match::NotPort(TUNNEL),
                    Match::Mark(self.mark),
                ],
                Action::Jump(TO_INBOUND.to_owned()),
            ),
            // The application calls itself.
            (vec![lo, tcp, Match::NotPort(DNS), Match::NotMark(self.mark)], Action::Accept),
            (vec![Match::Mark(self.mark)], Action::Accept),
        ]
    }

    fn outbound(&self, family: Family) -> Vec<(Vec<Match>, Action)> {
        let tcp = Match::Proto(L4::Tcp);
        let mut rules = Vec::new();
        if let Some(dns) = self.dns {
            for resolver in self.resolvers.iter().filter(|address| family.has(**address)) {
                let length = if resolver.is_ipv4() { 32 } else { 128 };
                for proto in [L4::Udp, L4::Tcp] {
                    let matches = vec![Match::To(*resolver, length), Match::Proto(proto), Match::Port(DNS)];
                    rules.push((matches, Action::Redirect(dns)));
                }
            }
        }
        rules.push((vec![Match::NotProto(L4::Tcp)], Action::Accept));
        rules.push((vec![Match::Out(LOOPBACK)], Action::Accept));
        for port in &self.exclude_outbound {
            rules.push((vec![tcp, Match::Port(*port)], Action::Accept));
        }
        for (address, length) in self.exclude_ranges.iter().filter(|(address, _)| family.has(*address)) {
            rules.push((vec![Match::To(*address, *length)], Action::Accept));
        }
        for port in &self.include_outbound {
            rules.push((vec![tcp, Match::Port(*port)], Action::Redirect(self.outbound)));
        }
        match &self.include_ranges {
            None => rules.push((vec![tcp], Action::Redirect(self.outbound))),
            Some(ranges) => {
                for (address, length) in ranges.iter().filter(|(address, _)| family.has(*address)) {
                    rules.push((vec![Match::To(*address, *length), tcp], Action::Redirect(self.outbound)));
                }
            }
        }
        rules
    }

    fn inbound(&self) -> Vec<(Vec<Match>, Action)> {
        let tcp = Match::Proto(L4::Tcp);
        let mut rules = vec![(vec![tcp, Match::Port(TUNNEL)], Action::Accept)];
        for port in &self.exclude_inbound {
            rules.push((vec![tcp, Match::Port(*port)], Action::Accept));
        }
        match &self.include_inbound {
            None => rules.push((vec![tcp], Action::Redirect(self.inbound))),
            Some(ports) => {
                for port in ports {
                    rules.push((vec![tcp, Match::Port(*port)], Action::Redirect(self.inbound)));
                }
            }
        }
        rules
    }
}
