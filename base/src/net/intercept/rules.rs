//! From an `Interception` to nftables rules, in the order in which Istio's rules decide.
//!
//! In: what is intercepted, and for which address families. Out: a `Ruleset`. Pure, so that tests and `--dry-run` see
//! exactly what the kernel gets. Where Istio says RETURN these rules say accept: nothing comes after them in their hook.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::{Groups, Interception, Mode, Own};
use crate::net::nft::{Action, Chain, Family, Hook, L4, Match, Rule, Ruleset, State, Table};
use crate::net::route::LOOPBACK;

/// The table's name, in every family.
pub(super) const TABLE: &str = "mesh";
const DNS: u16 = 53;
const TCP: Match = Match::Proto(L4::Tcp);
const UDP: Match = Match::Proto(L4::Udp);
const TO_SELF: Match = Match::Out(LOOPBACK);
/// Connections of the proxy to its own resolvers, and those of applications to the proxy as resolver. Both may come
/// from the same address and port; in one zone a forgotten question of an application would catch one of the proxy.
const ZONE_RESOLVERS: u16 = 1;
const ZONE_APPLICATIONS: u16 = 2;
/// Mark of packets of the proxy to its own pod, which enter by the inbound side (transparent mode).
const TO_OWN_POD: u32 = 1338;

fn to_inbound() -> Action {
    Action::Jump("to_inbound".into())
}

impl Interception {
    /// The rules for these families; `zones`: with connection tracking zones for DNS.
    #[must_use]
    pub fn rules(&self, families: &[Family], zones: bool) -> Ruleset {
        Ruleset { tables: families.iter().map(|family| self.table(*family, zones)).collect() }
    }

    fn table(&self, family: Family, zones: bool) -> Table {
        let chain = |name: &str, hook, rules| Chain { name: name.into(), hook, rules };
        let mut chains = vec![
            chain("to_inbound", None, vec![(vec![TCP], Action::Redirect(self.inbound))]),
            chain("output", Some(Hook::NatOutput), self.output(family)),
            chain("inbound", Some(Hook::NatPrerouting), self.prerouting(family)),
        ];
        let mut arriving = Vec::new();
        if self.drop_invalid {
            arriving.push((vec![Match::State(State::Invalid)], Action::Drop));
        }
        if let Mode::Transparent { mark, .. } = self.mode {
            chains.push(chain("transparent", None, self.transparent(family, mark)));
            let excluded = self.exclude_interfaces.iter();
            arriving.splice(0..0, excluded.map(|link| (vec![Match::InNamed(*link)], Action::Accept)));
            arriving.push((vec![TCP], Action::Jump("transparent".into())));
            // The proxy's calls to the application in its client's name: so that the answers find back.
            arriving.push((vec![TCP, Match::Mark(mark)], Action::SaveMark));
            chains.push(chain("mark", Some(Hook::RouteOutput), self.marks(family, mark)));
        }
        if !arriving.is_empty() {
            chains.push(chain("arrive", Some(Hook::ManglePrerouting), arriving));
        }
        if zones {
            let (output, input) = self.zones(family);
            if !output.is_empty() {
                chains.push(chain("zones_output", Some(Hook::RawOutput), output));
                chains.push(chain("zones_arrive", Some(Hook::RawPrerouting), input));
            }
        }
        Table { family, name: TABLE.into(), chains }
    }

    /// What starts in the pod.
    fn output(&self, family: Family) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::new();
        for link in &self.exclude_interfaces {
            rules.push((vec![Match::OutNamed(*link)], Action::Accept));
        }
        for port in &self.exclude_outbound {
            rules.push((vec![TCP, Match::Port(*port)], Action::Accept));
            rules.push((vec![UDP, Match::Port(*port)], Action::Accept));
        }
        rules.extend(self.own_traffic(family));
        match &self.groups {
            Groups::AllBut(groups) => {
                rules.extend(groups.iter().map(|group| (vec![Match::Group(*group)], Action::Accept)));
            }
            Groups::Only(groups) => {
                rules.push((groups.iter().map(|group| Match::NotGroup(*group)).collect(), Action::Accept));
            }
        }
        if let Some(port) = self.dns {
            for question in self.questions(family) {
                rules.push(([question, vec![TCP, Match::Port(DNS)]].concat(), Action::Redirect(port)));
            }
            for question in self.questions(family) {
                rules.push(([question, vec![UDP, Match::Port(DNS)]].concat(), Action::Redirect(port)));
            }
        }
        let (local, length) = self.local(family);
        rules.push((vec![Match::To(local, length)], Action::Accept));
        rules.extend(self.taken(family, &[]));
        rules
    }

    /// Destinations that are left alone or taken; `link`: only of what arrives there.
    fn taken(&self, family: Family, link: &[Match]) -> Vec<Rule> {
        let with = |matches: &[Match]| [link, matches].concat();
        let mut rules = Vec::new();
        for (address, length) in self.exclude_ranges.iter().filter(|(address, _)| family.has(*address)) {
            rules.push((with(&[Match::To(*address, *length)]), Action::Accept));
        }
        for port in &self.include_outbound {
            rules.push((with(&[TCP, Match::Port(*port)]), Action::Redirect(self.outbound)));
        }
        match &self.include_ranges {
            None => rules.push((with(&[TCP]), Action::Redirect(self.outbound))),
            Some(ranges) => {
                for (address, length) in ranges.iter().filter(|(address, _)| family.has(*address)) {
                    let matches = with(&[Match::To(*address, *length), TCP]);
                    rules.push((matches, Action::Redirect(self.outbound)));
                }
            }
        }
        rules
    }

    /// Traffic of the proxy, and of the application to itself.
    fn own_traffic(&self, family: Family) -> Vec<Rule> {
        let (local, length) = self.local(family);
        // The proxy delivers to the application from this address.
        let mut rules = vec![(vec![TO_SELF, delivery(family)], Action::Accept)];
        // The proxy calls this very pod by its address: through the inbound side, as from elsewhere. With DNS it may
        // also ask a resolver of this pod.
        let mut elsewhere = vec![TO_SELF, TCP, Match::NotTo(local, length), Match::NotPort(self.tunnel)];
        let mut myself = vec![TO_SELF];
        if self.dns.is_some() {
            elsewhere.push(Match::NotPort(DNS));
            myself.extend([TCP, Match::NotPort(DNS)]);
        }
        if self.mode == Mode::Redirect {
            for own in self.own_each() {
                rules.push(([elsewhere.clone(), vec![own]].concat(), to_inbound()));
            }
        }
        // The application calls itself, by whatever address; unless the range of loopback is asked for.
        let loopback_wanted = self.include_ranges.iter().flatten().any(|(address, _)| address.is_loopback());
        if !loopback_wanted {
            rules.push(([myself, self.own_none()].concat(), Action::Accept));
        }
        rules.extend(self.own_each().into_iter().map(|own| (vec![own], Action::Accept)));
        rules
    }

    /// One match per way in which traffic may be the proxy's.
    fn own_each(&self) -> Vec<Match> {
        match &self.own {
            Own::Mark(mark) => vec![Match::Mark(*mark)],
            Own::Owners { users, groups } => {
                let users = users.iter().map(|user| Match::User(*user));
                users.chain(groups.iter().map(|group| Match::Group(*group))).collect()
            }
        }
    }

    /// Matches that together say: not the proxy's.
    fn own_none(&self) -> Vec<Match> {
        match &self.own {
            Own::Mark(mark) => vec![Match::NotMark(*mark)],
            Own::Owners { users, groups } => {
                let users = users.iter().map(|user| Match::NotUser(*user));
                users.chain(groups.iter().map(|group| Match::NotGroup(*group))).collect()
            }
        }
    }

    /// What an application calls itself by.
    fn local(&self, family: Family) -> (IpAddr, u8) {
        match family {
            Family::Ip => (self.loopback.0.into(), self.loopback.1),
            Family::Ip6 => (Ipv6Addr::LOCALHOST.into(), 128),
        }
    }

    /// Destinations of the DNS questions that are taken.
    fn questions(&self, family: Family) -> Vec<Vec<Match>> {
        if self.all_resolvers {
            return vec![Vec::new()];
        }
        let resolvers = self.resolvers.iter().filter(|address| family.has(**address));
        resolvers.map(|address| vec![Match::To(*address, full(*address))]).collect()
    }

    /// What arrives in the pod.
    fn prerouting(&self, family: Family) -> Vec<Rule> {
        let mut rules = Vec::new();
        for link in &self.virtual_interfaces {
            let link = Match::InNamed(*link);
            for port in &self.exclude_outbound {
                rules.push((vec![link, TCP, Match::Port(*port)], Action::Accept));
            }
            rules.extend(self.taken(family, &[link]));
            rules.push((vec![link], Action::Accept));
        }
        for link in &self.exclude_interfaces {
            rules.push((vec![Match::InNamed(*link)], Action::Accept));
        }
        if self.mode == Mode::Redirect {
            rules.push((vec![TCP, Match::Port(self.tunnel)], Action::Accept));
            rules.extend(self.inbound_ports(|matches, rules| {
                rules.push((matches, Action::Redirect(self.inbound)));
            }));
        }
        rules
    }

    /// What is done (`take`) with the inbound ports that are included; nothing with the others.
    fn inbound_ports(&self, take: impl Fn(Vec<Match>, &mut Vec<Rule>)) -> Vec<Rule> {
        let mut rules = Vec::new();
        match &self.include_inbound {
            None => {
                for port in &self.exclude_inbound {
                    rules.push((vec![TCP, Match::Port(*port)], Action::Return));
                }
                take(vec![TCP], &mut rules);
            }
            Some(ports) => {
                for port in ports {
                    take(vec![TCP, Match::Port(*port)], &mut rules);
                }
            }
        }
        rules
    }

    /// Transparent mode: which of the packets that arrive are given to the proxy.
    fn transparent(&self, family: Family, mark: u32) -> Vec<Rule> {
        let (local, length) = self.local(family);
        let from_self = Match::In(LOOPBACK);
        let mut rules = vec![
            (vec![Match::Mark(mark)], Action::Return),
            (vec![from_self, delivery(family)], Action::Return),
            // The application calls itself by the pod's address.
            (vec![from_self, Match::NotMark(TO_OWN_POD)], Action::Return),
            (vec![TCP, Match::Port(self.tunnel)], Action::Return),
        ];
        rules.extend(self.inbound_ports(|matches, rules| {
            let known = [matches.clone(), vec![Match::State(State::Established)]].concat();
            rules.push((known, Action::MarkAndAccept(mark)));
            let fresh = [matches, vec![Match::NotTo(local, length)]].concat();
            rules.push((fresh, Action::Transparent(self.inbound, mark)));
        }));
        rules
    }

    /// Transparent mode: marks of what starts in the pod.
    fn marks(&self, family: Family, mark: u32) -> Vec<Rule> {
        let (local, length) = self.local(family);
        let excluded = self.exclude_interfaces.iter();
        let mut rules: Vec<Rule> =
            excluded.map(|link| (vec![Match::OutNamed(*link)], Action::Accept)).collect();
        rules.push((vec![TCP, TO_SELF, Match::Mark(mark)], Action::Accept));
        for own in self.own_each() {
            let matches = vec![TCP, TO_SELF, Match::NotTo(local, length), own];
            rules.push((matches, Action::SetMark(TO_OWN_POD)));
        }
        // Answers of the application to a client whose address the proxy borrowed.
        rules.push((vec![TCP, Match::ConnectionMark(mark)], Action::RestoreMark));
        rules
    }

    /// Zones of DNS over UDP: of what starts here, of what arrives.
    fn zones(&self, family: Family) -> (Vec<Rule>, Vec<Rule>) {
        let (mut output, mut input) = (Vec::new(), Vec::new());
        let (Some(port), false) = (self.dns, self.questions(family).is_empty()) else {
            return (output, input);
        };
        for own in self.own_each() {
            output.push((vec![UDP, Match::Port(DNS), own], Action::Zone(ZONE_RESOLVERS)));
            output.push((vec![UDP, Match::Port(DNS), own], Action::Accept));
        }
        // Our answers. Only what we send elsewhere carries the mark; the port says enough.
        output.push((vec![UDP, Match::FromPort(port)], Action::Zone(ZONE_APPLICATIONS)));
        for question in self.questions(family) {
            let matches = [question, vec![UDP, Match::Port(DNS)]].concat();
            output.push((matches, Action::Zone(ZONE_APPLICATIONS)));
        }
        let resolvers = self.resolvers.iter().filter(|address| family.has(**address));
        let from: Vec<Vec<Match>> = if self.all_resolvers {
            vec![Vec::new()]
        } else {
            resolvers.map(|address| vec![Match::From(*address, full(*address))]).collect()
        };
        for answer in from {
            let matches = [answer, vec![UDP, Match::FromPort(DNS)]].concat();
            input.push((matches, Action::Zone(ZONE_RESOLVERS)));
        }
        (output, input)
    }
}

/// The address from which the proxy delivers to the application.
fn delivery(family: Family) -> Match {
    match family {
        Family::Ip => Match::From(Ipv4Addr::new(127, 0, 0, 6).into(), 32),
        Family::Ip6 => Match::From(super::apply::DELIVERY6.into(), 128),
    }
}

fn full(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
