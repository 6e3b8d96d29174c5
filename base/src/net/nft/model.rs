//! What can be said of packets: families, hooks, matches, actions, and rule sets made of them.
//!
//! In: values chosen by callers. Out: the same, for `batch` to encode and `text` to print. Plain data without I/O.

use std::net::IpAddr;

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
    pub(super) fn number(self) -> u32 {
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
    /// Packets that arrive, before connections are tracked.
    RawPrerouting,
    /// Packets that start here, before connections are tracked.
    RawOutput,
    /// Packets that arrive, before address translation and routing.
    ManglePrerouting,
    /// Packets that start here; a mark that is set here routes them anew.
    RouteOutput,
}

impl Hook {
    /// Chain type, hook number, priority.
    pub(super) fn parts(self) -> (&'static str, u32, i32) {
        match self {
            Self::NatPrerouting => ("nat", 0, -100),
            Self::NatOutput => ("nat", 3, -100),
            Self::NatPostrouting => ("nat", 4, 100),
            Self::FilterPrerouting => ("filter", 0, 0),
            Self::RawPrerouting => ("filter", 0, -300),
            Self::RawOutput => ("filter", 3, -300),
            Self::ManglePrerouting => ("filter", 0, -150),
            Self::RouteOutput => ("route", 3, -150),
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

/// The name of a network interface; a final `+` stands for any ending, as iptables has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    bytes: [u8; Self::SIZE],
    length: usize,
    prefix: bool,
}

impl Interface {
    /// Bytes of a name in the kernel, its terminator included.
    const SIZE: usize = 16;

    /// `None`: no interface can have this name.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let (word, prefix) = name.strip_suffix('+').map_or((name, false), |word| (word, true));
        let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        if (word.is_empty() && !prefix) || word.len() >= Self::SIZE || word.contains(bad) {
            return None;
        }
        let mut bytes = [0; Self::SIZE];
        bytes[..word.len()].copy_from_slice(word.as_bytes());
        Some(Self { bytes, length: word.len(), prefix })
    }

    /// What the kernel compares: the beginning alone, or the name with its zeros.
    pub(super) fn compared(&self) -> &[u8] {
        if self.prefix { &self.bytes[..self.length] } else { &self.bytes }
    }

    pub(super) fn name(&self) -> String {
        let star = if self.prefix { "*" } else { "" };
        format!("{}{star}", String::from_utf8_lossy(&self.bytes[..self.length]))
    }
}

/// State of the connection that a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Neither begins a connection nor belongs to one.
    Invalid,
    /// Belongs to a connection, or is related to one.
    Established,
}

/// What a packet must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Layer 4 protocol is.
    Proto(L4),
    /// Layer 4 protocol is not.
    NotProto(L4),
    /// Mark of the packet or its socket is.
    Mark(u32),
    /// Mark of the packet or its socket is not.
    NotMark(u32),
    /// Mark of the connection is.
    ConnectionMark(u32),
    /// The connection is in this state.
    State(State),
    /// User that owns the socket is. No socket, no match.
    User(u32),
    /// User that owns the socket is not.
    NotUser(u32),
    /// Group that owns the socket is.
    Group(u32),
    /// Group that owns the socket is not.
    NotGroup(u32),
    /// Arrived by the link with this index.
    In(u32),
    /// Leaves by the link with this index.
    Out(u32),
    /// Arrived by the link of this name.
    InNamed(Interface),
    /// Leaves by the link of this name.
    OutNamed(Interface),
    /// Source address is in the prefix.
    From(IpAddr, u8),
    /// Destination address is in the prefix.
    To(IpAddr, u8),
    /// Destination address is not in the prefix.
    NotTo(IpAddr, u8),
    /// Source port is.
    FromPort(u16),
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Goes on, and no later rule of this hook is asked.
    Accept,
    /// Disappears.
    Drop,
    /// Goes on behind the rule that jumped here; in a base chain as `Accept`.
    Return,
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
    /// Gets a mark, and the next rule is asked.
    SetMark(u32),
    /// Gets a mark and goes on.
    MarkAndAccept(u32),
    /// The connection gets the packet's mark, and the next rule is asked.
    SaveMark,
    /// Gets the connection's mark, and the next rule is asked.
    RestoreMark,
    /// Is given to a transparent socket that listens on this port of this host, and gets this mark.
    Transparent(u16, u32),
    /// Its connection is looked for among those of this zone only, and the next rule is asked.
    Zone(u16),
}

/// Conditions that must all hold, and what happens then.
pub type Rule = (Vec<Match>, Action);

/// Rules in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Unique in its table.
    pub name: String,
    /// Where it is called; none: only by jumps from chains that come after it.
    pub hook: Option<Hook>,
    /// Asked from the first to the last.
    pub rules: Vec<Rule>,
}

/// Chains of one address family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Whose packets.
    pub family: Family,
    /// Unique in its family.
    pub name: String,
    /// Those that are jumped to stand before those that jump.
    pub chains: Vec<Chain>,
}

/// Tables that come into force together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Each replaces what had its name.
    pub tables: Vec<Table>,
}
