//! Links, addresses and routes as netlink messages: the few forms that a mesh of namespaces needs.
//!
//! In: interface indexes and addresses. Out: messages appended to a `Requests`, sent by the caller
//! on a `Protocol::Route` socket. Interface indexes are chosen by the caller, so that a link, its
//! address and its routes fit into one batch without asking back.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::netlink::{Head, Requests};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const CREATE_EXCL: u16 = 0x400 | 0x200;
const IFF_UP: u32 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// No duplicate address detection: an address is usable at once, which saves a second per namespace.
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const RULE_TO_TABLE: u8 = 1;
const TABLE_MAIN: u8 = 254;
const PROTO_STATIC: u8 = 4;
const TYPE_UNICAST: u8 = 1;
const TYPE_LOCAL: u8 = 2;
const SCOPE_HOST: u8 = 254;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;

/// Index of the loopback interface in every network namespace.
pub const LOOPBACK: u32 = 1;

fn link_header(index: u32, up: bool) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let flags = if up { IFF_UP } else { 0 };
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).expect("address families are small")
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// One end of a veth pair.
#[derive(Debug)]
pub struct End<'a> {
    /// Interface name, at most 15 bytes.
    pub name: &'a str,
    /// Interface index, free in its namespace.
    pub index: u32,
    /// Hardware address.
    pub mac: [u8; 6],
}

/// Makes a veth pair: `near` in the socket's namespace and up, `far` in `namespace` and down
/// (the kernel refuses to raise an end before the other exists).
pub fn veth(requests: &mut Requests, near: &End<'_>, far: &End<'_>, namespace: BorrowedFd<'_>) {
    let header = link_header(near.index, true);
    let head = Head { kind: RTM_NEWLINK, flags: CREATE_EXCL, ack: true, header: &header };
    requests.message(head, format!("make the veth pair {}", near.name), |message| {
        message.text(IFLA_IFNAME, near.name);
        message.bytes(IFLA_ADDRESS, &near.mac);
        message.nest(IFLA_LINKINFO, |info| {
            info.text(INFO_KIND, "veth");
            info.nest(INFO_DATA, |data| {
                data.nest_after(VETH_PEER, &link_header(far.index, false), |peer| {
                    peer.text(IFLA_IFNAME, far.name);
                    peer.bytes(IFLA_ADDRESS, &far.mac);
                    peer.bytes(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
                });
            });
        });
    });
}

/// Sets a link up.
pub fn up(requests: &mut Requests, index: u32) {
    let head = Head { kind: RTM_NEWLINK, flags: 0, ack: true, header: &link_header(index, true) };
    requests.message(head, format!("set link {index} up"), |_| {});
}

/// Gives a link an address of full length (/32 or /128), usable at once, without any route.
pub fn address(requests: &mut Requests, index: u32, address: IpAddr) {
    one_address(requests, (RTM_NEWADDR, CREATE_EXCL), index, address);
}

/// Takes an address of full length from a link.
pub fn no_address(requests: &mut Requests, index: u32, address: IpAddr) {
    one_address(requests, (RTM_DELADDR, 0), index, address);
}

fn one_address(requests: &mut Requests, (kind, flags): (u16, u16), index: u32, address: IpAddr) {
    let bytes = octets(address);
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    let mut header = [family(address), prefix, 0, SCOPE_UNIVERSE, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let head = Head { kind, flags, ack: true, header: &header };
    let verb = if kind == RTM_NEWADDR { "give" } else { "take from" };
    requests.message(head, format!("{verb} link {index} the address {address}"), |message| {
        message.bytes(IFA_LOCAL, &bytes);
        message.bytes(IFA_ADDRESS, &bytes);
        message.u32(IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
    });
}

/// Where packets for a destination go.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Destination and prefix length; length 0 is the default route.
    pub to: (IpAddr, u8),
    /// Next hop; none for a neighbour on the link.
    pub via: Option<IpAddr>,
    /// The link.
    pub index: u32,
}

/// Adds a route to the main table.
pub fn route(requests: &mut Requests, route: Route) {
    let (to, length) = route.to;
    let scope = if route.via.is_some() || to.is_ipv6() { SCOPE_UNIVERSE } else { SCOPE_LINK };
    let header = [family(to), length, 0, 0, TABLE_MAIN, PROTO_STATIC, scope, TYPE_UNICAST, 0, 0, 0, 0];
    let head = Head { kind: RTM_NEWROUTE, flags: CREATE_EXCL, ack: true, header: &header };
    requests.message(head, format!("route {to}/{length} by link {}", route.index), |message| {
        if length > 0 {
            message.bytes(RTA_DST, &octets(to));
        }
        if let Some(via) = route.via {
            message.bytes(RTA_GATEWAY, &octets(via));
        }
        message.u32(RTA_OIF, route.index);
    });
}

/// Packets that stay on this host whatever their destination: those with a mark.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// An address of the family that is meant.
    pub family: IpAddr,
    /// The mark.
    pub mark: u32,
    /// Number of the routing table that says so.
    pub table: u32,
}

/// Looks packets with the mark up in the table (`ip rule add fwmark MARK lookup TABLE`); `add` false removes it.
pub fn kept_rule(requests: &mut Requests, kept: Kept, add: bool) {
    let header = [family(kept.family), 0, 0, 0, 0, 0, 0, RULE_TO_TABLE, 0, 0, 0, 0];
    let (kind, flags, verb) =
        if add { (RTM_NEWRULE, CREATE_EXCL, "add") } else { (RTM_DELRULE, 0, "delete") };
    let head = Head { kind, flags, ack: true, header: &header };
    let label = format!("{verb} the rule for mark {} of table {}", kept.mark, kept.table);
    requests.message(head, label, |message| {
        message.u32(FRA_FWMARK, kept.mark);
        message.u32(FRA_TABLE, kept.table);
    });
}

/// Everything in the table is this host's own (`ip route add local default dev lo table TABLE`); `add` false removes it.
pub fn kept_route(requests: &mut Requests, kept: Kept, add: bool) {
    let header = [family(kept.family), 0, 0, 0, 0, PROTO_STATIC, SCOPE_HOST, TYPE_LOCAL, 0, 0, 0, 0];
    let (kind, flags, verb) =
        if add { (RTM_NEWROUTE, CREATE_EXCL, "add") } else { (RTM_DELROUTE, 0, "delete") };
    let head = Head { kind, flags, ack: true, header: &header };
    requests.message(head, format!("{verb} the local route of table {}", kept.table), |message| {
        message.u32(RTA_TABLE, kept.table);
        message.u32(RTA_OIF, LOOPBACK);
    });
}
