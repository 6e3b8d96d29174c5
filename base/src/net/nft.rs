//! nftables as netlink messages: tables, chains and rules made of a small closed set of matches and actions.
//!
//! In: `Match` and `Action` values. Out: one atomic batch: either all of it is in force afterwards or
//! nothing of it. Sets and maps are not used: the rule sets here are small, and a rule that reads
//! like a sentence is easier to check. Called by `intercept` and by the laptop mesh's service table.

use std::net::IpAddr;

use super::netlink::{Attributes, Head, Netlink, Refused, Requests};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const REG_VERDICT: u32 = 0;
const REG_1: u32 = 1;
const REG_2: u32 = 2;
const EQ: u32 = 0;
const NEQ: u32 = 1;
const LTE: u32 = 3;
const GTE: u32 = 5;
const META_MARK: u32 = 3;
const META_OIF: u32 = 5;
const META_L4PROTO: u32 = 16;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// Address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ip = 2,
    /// IPv6.
    Ip6 = 10,
}

impl Family {
    /// True if the address belongs to this family.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        (self == Self::Ip) == address.is_ipv4()
    }

    /// Protocol number under which nat expressions know it.
    fn number(self) -> u32 {
        self as u32
    }
}

/// Where a base chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Destination address translation of packets that arrive.
    NatPrerouting,
    /// Destination address translation of packets that start here.
    NatOutput,
    /// Source address translation of packets that leave.
    NatPostrouting,
    /// Filter of packets that arrive, after address translation.
    FilterPrerouting,
}

impl Hook {
    fn parts(self) -> (&'static str, u32, i32) {
        match self {
            Self::NatPrerouting => ("nat", 0, -100),
            Self::NatOutput => ("nat", 3, -100),
            Self::NatPostrouting => ("nat", 4, 100),
            Self::FilterPrerouting => ("filter", 0, 0),
        }
    }
}

/// A layer 4 protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4 {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

/// What a packet must look like.
#[derive(Clone, Copy, Debug)]
pub enum Match {
    /// Layer 4 protocol is.
    Proto(L4),
    /// Layer 4 protocol is not.
    NotProto(L4),
    /// Socket mark is.
    Mark(u32),
    /// Socket mark is not.
    NotMark(u32),
    /// Leaves by the link with this index.
    Out(u32),
    /// Source address is in the prefix.
    From(IpAddr, u8),
    /// Destination address is in the prefix.
    To(IpAddr, u8),
    /// Destination address is not in the prefix.
    NotTo(IpAddr, u8),
    /// Destination port is.
    Port(u16),
    /// Destination port is not.
    NotPort(u16),
    /// Destination port is between, both included.
    Ports(u16, u16),
    /// A random number below the first is equal to zero: one connection of so many.
    OneOf(u32),
}

/// What happens to a packet.
#[derive(Clone, Debug)]
pub enum Action {
    /// Goes on, and no later rule of this hook is asked.
    Accept,
    /// Continues in another chain of the table.
    Jump(String),
    /// Goes to this port of this host.
    Redirect(u16),
    /// Goes to another address and port.
    Dnat(IpAddr, u16),
    /// Leaves with the address of the outgoing link.
    Masquerade,
    /// A TCP connection is reset.
    ResetTcp,
    /// An ICMP "port unreachable" is sent.
    Unreachable,
}

/// A batch of changes to nftables.
#[derive(Debug)]
pub struct Batch {
    requests: Requests,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        let mut requests = Requests::default();
        requests.message(batch_head(BATCH_BEGIN), "begin a batch", |_| {});
        Self { requests }
    }

    fn message(
        &mut self,
        kind: u16,
        flags: u16,
        family: Family,
        label: String,
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let header = [u8::try_from(family.number()).expect("families are small"), 0, 0, 0];
        self.requests.message(
            Head { kind: (SUBSYSTEM << 8) | kind, flags, ack: false, header: &header },
            label,
            fill,
        );
    }

    /// Makes a table empty, whether or not it existed.
    pub fn fresh_table(&mut self, family: Family, table: &str) {
        let steps = [(NEW_TABLE, CREATE, "add"), (DEL_TABLE, 0, "delete"), (NEW_TABLE, CREATE, "add")];
        for (kind, flags, verb) in steps {
            self.message(kind, flags, family, format!("{verb} table {table}"), |m| m.text(1, table));
        }
    }

    /// Adds a chain; with a hook it is a base chain that accepts what no rule decides.
    pub fn chain(&mut self, family: Family, table: &str, chain: &str, hook: Option<Hook>) {
        self.message(NEW_CHAIN, CREATE, family, format!("add chain {chain}"), |m| {
            m.text(1, table);
            m.text(3, chain);
            if let Some((kind, number, priority)) = hook.map(Hook::parts) {
                m.nest(4, |h| {
                    h.be32(1, number);
                    h.be32(2, priority.cast_unsigned());
                });
                m.text(7, kind);
            }
        });
    }

    /// Appends a rule.
    pub fn rule(&mut self, at: At<'_>, matches: &[Match], action: &Action) {
        let label = format!("add to chain {} the rule {matches:?} -> {action:?}", at.chain);
        self.message(NEW_RULE, CREATE | APPEND, at.family, label, |m| {
            m.text(1, at.table);
            m.text(2, at.chain);
            m.nest(4, |list| {
                for condition in matches {
                    encode_match(list, at.family, *condition);
                }
                encode_action(list, at.family, action);
            });
        });
    }

    /// Puts the batch in force on a socket of `Protocol::Netfilter`.
    pub fn commit(mut self, socket: &Netlink) -> Result<(), Refused> {
        self.requests.confirm_last();
        self.requests.message(batch_head(BATCH_END), "end the batch", |_| {});
        socket.send(self.requests)
    }
}

fn batch_head(kind: u16) -> Head<'static> {
    Head { kind, flags: 0, ack: false, header: &[0, 0, 0, SUBSYSTEM as u8] }
}

/// Where a rule goes.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Family of the table.
    pub family: Family,
    /// Table name.
    pub table: &'a str,
    /// Chain name.
    pub chain: &'a str,
}

fn expression(list: &mut Attributes<'_>, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
    list.nest(1, |element| {
        element.text(1, name);
        element.nest(2, fill);
    });
}

fn meta(list: &mut Attributes<'_>, key: u32) {
    expression(list, "meta", |e| {
        e.be32(2, key);
        e.be32(1, REG_1);
    });
}

fn payload(list: &mut Attributes<'_>, base: u32, offset: u32, len: u32) {
    expression(list, "payload", |e| {
        e.be32(1, REG_1);
        e.be32(2, base);
        e.be32(3, offset);
        e.be32(4, len);
    });
}

fn compare(list: &mut Attributes<'_>, operator: u32, value: &[u8]) {
    expression(list, "cmp", |e| {
        e.be32(1, REG_1);
        e.be32(2, operator);
        e.nest(3, |d| d.bytes(1, value));
    });
}

fn load(list: &mut Attributes<'_>, register: u32, value: &[u8]) {
    expression(list, "immediate", |e| {
        e.be32(1, register);
        e.nest(2, |d| d.bytes(1, value));
    });
}

fn verdict(list: &mut Attributes<'_>, code: i32, chain: Option<&str>) {
    expression(list, "immediate", |e| {
        e.be32(1, REG_VERDICT);
        e.nest(2, |d| {
            d.nest(2, |v| {
                v.be32(1, code.cast_unsigned());
                if let Some(chain) = chain {
                    v.text(2, chain);
                }
            });
        });
    });
}

fn encode_address(list: &mut Attributes<'_>, operator: u32, source: bool, (address, length): (IpAddr, u8)) {
    let (bytes, offset) = match address {
        IpAddr::V4(v4) => (v4.octets().to_vec(), if source { 12 } else { 16 }),
        IpAddr::V6(v6) => (v6.octets().to_vec(), if source { 8 } else { 24 }),
    };
    let size = u32::try_from(bytes.len()).expect("an address is short");
    payload(list, NETWORK, offset, size);
    if u32::from(length) == size * 8 {
        return compare(list, operator, &bytes);
    }
    let mask: Vec<u8> = (0..bytes.len())
        .map(|i| {
            let bits = usize::from(length).saturating_sub(i * 8).min(8);
            u8::try_from(0xff00_u16 >> bits & 0xff).expect("masked to a byte")
        })
        .collect();
    expression(list, "bitwise", |e| {
        e.be32(1, REG_1);
        e.be32(2, REG_1);
        e.be32(3, size);
        e.nest(4, |d| d.bytes(1, &mask));
        e.nest(5, |d| d.bytes(1, &vec![0; mask.len()]));
    });
    let network: Vec<u8> = bytes.iter().zip(&mask).map(|(a, m)| a & m).collect();
    compare(list, operator, &network);
}

fn encode_match(list: &mut Attributes<'_>, family: Family, condition: Match) {
    let mut port = |checks: &[(u32, u16)]| {
        payload(list, TRANSPORT, 2, 2);
        for (operator, value) in checks {
            compare(list, *operator, &value.to_be_bytes());
        }
    };
    match condition {
        Match::Port(value) => port(&[(EQ, value)]),
        Match::NotPort(value) => port(&[(NEQ, value)]),
        Match::Ports(low, high) => port(&[(GTE, low), (LTE, high)]),
        Match::Proto(proto) | Match::NotProto(proto) => {
            meta(list, META_L4PROTO);
            let operator = if matches!(condition, Match::Proto(_)) { EQ } else { NEQ };
            compare(list, operator, &[proto as u8]);
        }
        Match::Mark(mark) | Match::NotMark(mark) => {
            meta(list, META_MARK);
            let operator = if matches!(condition, Match::Mark(_)) { EQ } else { NEQ };
            compare(list, operator, &mark.to_ne_bytes());
        }
        Match::Out(index) => {
            meta(list, META_OIF);
            compare(list, EQ, &index.to_ne_bytes());
        }
        Match::From(address, length) => encode_address(list, EQ, true, (address, length)),
        Match::To(address, length) => encode_address(list, EQ, false, (address, length)),
        Match::NotTo(address, length) => encode_address(list, NEQ, false, (address, length)),
        Match::OneOf(count) => {
            expression(list, "numgen", |e| {
                e.be32(1, REG_1);
                e.be32(2, count);
                e.be32(3, 1);
            });
            compare(list, EQ, &0u32.to_ne_bytes());
        }
    }
    debug_assert!(match condition {
        Match::From(a, _) | Match::To(a, _) | Match::NotTo(a, _) => family.has(a),
        _ => true,
    });
}

fn encode_action(list: &mut Attributes<'_>, family: Family, action: &Action) {
    match action {
        Action::Accept => verdict(list, 1, None),
        Action::Jump(chain) => verdict(list, -3, Some(chain)),
        Action::Redirect(port) => {
            load(list, REG_1, &port.to_be_bytes());
            expression(list, "redir", |e| e.be32(1, REG_1));
        }
        Action::Dnat(address, port) => {
            match address {
                IpAddr::V4(v4) => load(list, REG_1, &v4.octets()),
                IpAddr::V6(v6) => load(list, REG_1, &v6.octets()),
            }
            load(list, REG_2, &port.to_be_bytes());
            expression(list, "nat", |e| {
                e.be32(1, 1);
                e.be32(2, family.number());
                e.be32(3, REG_1);
                e.be32(5, REG_2);
            });
        }
        Action::Masquerade => expression(list, "masq", |_| {}),
        Action::ResetTcp => expression(list, "reject", |e| {
            e.be32(1, 1);
            e.bytes(2, &[0]);
        }),
        Action::Unreachable => expression(list, "reject", |e| {
            e.be32(1, 0);
            e.bytes(2, &[if family == Family::Ip { 3 } else { 4 }]);
        }),
    }
}
