//! Matches and actions as the expressions of nftables' virtual machine.
//!
//! In: one `Match` or `Action`. Out: its expressions appended to a rule under construction: load something into a
//! register, compare it, act. Numbers are those of `linux/netfilter/nf_tables.h`. Called by `batch` alone.

use std::net::IpAddr;

use super::model::{Action, Family, Match, State};
use crate::net::netlink::Attributes;

const REG_VERDICT: u32 = 0;
const REG_1: u32 = 1;
const REG_2: u32 = 2;
const EQ: u32 = 0;
const NEQ: u32 = 1;
const LTE: u32 = 3;
const GTE: u32 = 5;
const META_MARK: u32 = 3;
const META_IIF: u32 = 4;
const META_OIF: u32 = 5;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_SKUID: u32 = 10;
const META_SKGID: u32 = 11;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_MARK: u32 = 3;
const CT_ZONE: u32 = 17;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const VERDICT_DROP: i32 = 0;
const VERDICT_ACCEPT: i32 = 1;
const VERDICT_JUMP: i32 = -3;
const VERDICT_RETURN: i32 = -5;

impl State {
    /// Bits of `ct state`.
    fn bits(self) -> u32 {
        match self {
            Self::Invalid => 1,
            Self::Established => 2 | 4,
        }
    }
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

/// Writes register 1 to the packet's metadata.
fn set_meta(list: &mut Attributes<'_>, key: u32) {
    expression(list, "meta", |e| {
        e.be32(2, key);
        e.be32(3, REG_1);
    });
}

/// Reads of the connection into register 1.
fn ct(list: &mut Attributes<'_>, key: u32) {
    expression(list, "ct", |e| {
        e.be32(1, REG_1);
        e.be32(2, key);
    });
}

/// Writes register 1 to the connection.
fn set_ct(list: &mut Attributes<'_>, key: u32) {
    expression(list, "ct", |e| {
        e.be32(2, key);
        e.be32(4, REG_1);
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

/// Keeps these bits of register 1.
fn masked(list: &mut Attributes<'_>, mask: &[u8]) {
    expression(list, "bitwise", |e| {
        e.be32(1, REG_1);
        e.be32(2, REG_1);
        e.be32(3, u32::try_from(mask.len()).expect("a mask is short"));
        e.nest(4, |d| d.bytes(1, mask));
        e.nest(5, |d| d.bytes(1, &vec![0; mask.len()]));
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
    masked(list, &mask);
    let network: Vec<u8> = bytes.iter().zip(&mask).map(|(a, m)| a & m).collect();
    compare(list, operator, &network);
}

/// One condition; the rule ends where it does not hold.
pub(super) fn encode_match(list: &mut Attributes<'_>, family: Family, condition: Match) {
    let mut port = |offset: u32, checks: &[(u32, u16)]| {
        payload(list, TRANSPORT, offset, 2);
        for (operator, value) in checks {
            compare(list, *operator, &value.to_be_bytes());
        }
    };
    match condition {
        Match::FromPort(value) => port(0, &[(EQ, value)]),
        Match::Port(value) => port(2, &[(EQ, value)]),
        Match::NotPort(value) => port(2, &[(NEQ, value)]),
        Match::Ports(low, high) => port(2, &[(GTE, low), (LTE, high)]),
        Match::Proto(proto) => encode_meta(list, META_L4PROTO, EQ, &[proto as u8]),
        Match::NotProto(proto) => encode_meta(list, META_L4PROTO, NEQ, &[proto as u8]),
        Match::Mark(mark) => encode_meta(list, META_MARK, EQ, &mark.to_ne_bytes()),
        Match::NotMark(mark) => encode_meta(list, META_MARK, NEQ, &mark.to_ne_bytes()),
        Match::User(user) => encode_meta(list, META_SKUID, EQ, &user.to_ne_bytes()),
        Match::NotUser(user) => encode_meta(list, META_SKUID, NEQ, &user.to_ne_bytes()),
        Match::Group(group) => encode_meta(list, META_SKGID, EQ, &group.to_ne_bytes()),
        Match::NotGroup(group) => encode_meta(list, META_SKGID, NEQ, &group.to_ne_bytes()),
        Match::In(index) => encode_meta(list, META_IIF, EQ, &index.to_ne_bytes()),
        Match::Out(index) => encode_meta(list, META_OIF, EQ, &index.to_ne_bytes()),
        Match::InNamed(name) => encode_meta(list, META_IIFNAME, EQ, name.compared()),
        Match::OutNamed(name) => encode_meta(list, META_OIFNAME, EQ, name.compared()),
        Match::ConnectionMark(mark) => {
            ct(list, CT_MARK);
            compare(list, EQ, &mark.to_ne_bytes());
        }
        Match::State(state) => {
            ct(list, CT_STATE);
            masked(list, &state.bits().to_ne_bytes());
            compare(list, NEQ, &0u32.to_ne_bytes());
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

fn encode_meta(list: &mut Attributes<'_>, key: u32, operator: u32, value: &[u8]) {
    meta(list, key);
    // The prefix of no bytes is every name.
    if !value.is_empty() {
        compare(list, operator, value);
    }
}

/// What the rule does.
pub(super) fn encode_action(list: &mut Attributes<'_>, family: Family, action: &Action) {
    match action {
        Action::Accept => verdict(list, VERDICT_ACCEPT, None),
        Action::Drop => verdict(list, VERDICT_DROP, None),
        Action::Return => verdict(list, VERDICT_RETURN, None),
        Action::Jump(chain) => verdict(list, VERDICT_JUMP, Some(chain)),
        Action::Redirect(port) => {
            load(list, REG_1, &port.to_be_bytes());
            expression(list, "redir", |e| e.be32(1, REG_1));
        }
        Action::Dnat(address, port) => encode_dnat(list, family, *address, *port),
        Action::Masquerade => expression(list, "masq", |_| {}),
        Action::ResetTcp => expression(list, "reject", |e| {
            e.be32(1, 1);
            e.bytes(2, &[0]);
        }),
        Action::Unreachable => expression(list, "reject", |e| {
            e.be32(1, 0);
            e.bytes(2, &[if family == Family::Ip { 3 } else { 4 }]);
        }),
        Action::SetMark(mark) => set_mark(list, *mark),
        Action::MarkAndAccept(mark) => {
            set_mark(list, *mark);
            verdict(list, VERDICT_ACCEPT, None);
        }
        Action::SaveMark => {
            meta(list, META_MARK);
            set_ct(list, CT_MARK);
        }
        Action::RestoreMark => {
            ct(list, CT_MARK);
            set_meta(list, META_MARK);
        }
        Action::Transparent(port, mark) => {
            load(list, REG_1, &port.to_be_bytes());
            expression(list, "tproxy", |e| {
                e.be32(1, family.number());
                e.be32(3, REG_1);
            });
            set_mark(list, *mark);
            verdict(list, VERDICT_ACCEPT, None);
        }
        Action::Zone(zone) => {
            load(list, REG_1, &zone.to_ne_bytes());
            set_ct(list, CT_ZONE);
        }
    }
}

fn set_mark(list: &mut Attributes<'_>, mark: u32) {
    load(list, REG_1, &mark.to_ne_bytes());
    set_meta(list, META_MARK);
}

fn encode_dnat(list: &mut Attributes<'_>, family: Family, address: IpAddr, port: u16) {
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
