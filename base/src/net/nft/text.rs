//! Rule sets as text, in the words of `nft list ruleset`.
//!
//! In: a `Ruleset`. Out: what a person would write for it: shown by `--dry-run` and in refusals, compared in tests.

use std::fmt;
use std::net::IpAddr;

use super::model::{Action, Chain, Family, Hook, L4, Match, Ruleset, State, Table};
use crate::net::route::LOOPBACK;

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables.iter().try_for_each(|table| table.fmt(f))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.family == Family::Ip { "ip" } else { "ip6" };
        writeln!(f, "table {family} {} {{", self.name)?;
        for chain in &self.chains {
            chain.fmt(f)?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\tchain {} {{", self.name)?;
        if let Some((kind, number, priority)) = self.hook.map(Hook::parts) {
            let hook = ["prerouting", "input", "forward", "output", "postrouting"][number as usize];
            writeln!(f, "\t\ttype {kind} hook {hook} priority {priority}; policy accept;")?;
        }
        for (matches, action) in &self.rules {
            writeln!(f, "\t\t{}", rule(matches, action))?;
        }
        writeln!(f, "\t}}")
    }
}

/// One rule on one line.
pub(super) fn rule(matches: &[Match], action: &Action) -> String {
    let mut words: Vec<String> = Vec::new();
    // `tcp dport 53` says the protocol itself, but only directly before the port.
    let mut proto = "th";
    for one in matches {
        words.push(condition(*one, proto));
        if let Match::Proto(l4) = one {
            proto = l4_name(*l4);
        }
    }
    words.push(done(action));
    words.join(" ")
}

fn l4_name(l4: L4) -> &'static str {
    match l4 {
        L4::Tcp => "tcp",
        L4::Udp => "udp",
    }
}

fn condition(condition: Match, proto: &str) -> String {
    match condition {
        Match::Proto(l4) => format!("meta l4proto {}", l4_name(l4)),
        Match::NotProto(l4) => format!("meta l4proto != {}", l4_name(l4)),
        Match::Mark(mark) => format!("meta mark {mark}"),
        Match::NotMark(mark) => format!("meta mark != {mark}"),
        Match::ConnectionMark(mark) => format!("ct mark {mark}"),
        Match::State(State::Invalid) => "ct state invalid".into(),
        Match::State(State::Established) => "ct state established,related".into(),
        Match::User(user) => format!("meta skuid {user}"),
        Match::NotUser(user) => format!("meta skuid != {user}"),
        Match::Group(group) => format!("meta skgid {group}"),
        Match::NotGroup(group) => format!("meta skgid != {group}"),
        Match::In(LOOPBACK) => "iif lo".into(),
        Match::In(index) => format!("iif {index}"),
        Match::Out(LOOPBACK) => "oif lo".into(),
        Match::Out(index) => format!("oif {index}"),
        Match::InNamed(name) => format!("iifname \"{}\"", name.name()),
        Match::OutNamed(name) => format!("oifname \"{}\"", name.name()),
        Match::From(address, length) => format!("{} saddr {}", family(address), prefix(address, length)),
        Match::To(address, length) => format!("{} daddr {}", family(address), prefix(address, length)),
        Match::NotTo(address, length) => format!("{} daddr != {}", family(address), prefix(address, length)),
        Match::FromPort(port) => format!("{proto} sport {port}"),
        Match::Port(port) => format!("{proto} dport {port}"),
        Match::NotPort(port) => format!("{proto} dport != {port}"),
        Match::Ports(low, high) => format!("{proto} dport {low}-{high}"),
        Match::OneOf(count) => format!("numgen random mod {count} 0"),
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

fn prefix(address: IpAddr, length: u8) -> String {
    let full = if address.is_ipv4() { 32 } else { 128 };
    if length == full { address.to_string() } else { format!("{address}/{length}") }
}

fn done(action: &Action) -> String {
    match action {
        Action::Accept => "accept".into(),
        Action::Drop => "drop".into(),
        Action::Return => "return".into(),
        Action::Jump(chain) => format!("jump {chain}"),
        Action::Redirect(port) => format!("redirect to :{port}"),
        Action::Dnat(IpAddr::V4(address), port) => format!("dnat to {address}:{port}"),
        Action::Dnat(IpAddr::V6(address), port) => format!("dnat to [{address}]:{port}"),
        Action::Masquerade => "masquerade".into(),
        Action::ResetTcp => "reject with tcp reset".into(),
        Action::Unreachable => "reject".into(),
        Action::SetMark(mark) => format!("meta mark set {mark}"),
        Action::MarkAndAccept(mark) => format!("meta mark set {mark} accept"),
        Action::SaveMark => "ct mark set meta mark".into(),
        Action::RestoreMark => "meta mark set ct mark".into(),
        Action::Transparent(port, mark) => format!("tproxy to :{port} meta mark set {mark} accept"),
        Action::Zone(zone) => format!("ct zone set {zone}"),
    }
}
