//! What is intercepted, and how.
//!
//! In: what an injector or the flags of `istio-iptables` say. Out: plain values that `rules` reads. Defaults are
//! Istio's.

use std::net::{IpAddr, Ipv4Addr};

use crate::net::nft::Interface;

/// Whose traffic is the proxy's own, and therefore left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// Sockets with this mark: where there is only one user id, as in an unprivileged user namespace.
    Mark(u32),
    /// Sockets of these users and groups: in a pod.
    Owners {
        /// `-u`; 1337
        users: Vec<u32>,
        /// `-g`; 1337
        groups: Vec<u32>,
    },
}

/// Groups of processes whose outbound traffic is taken (`ISTIO_OUTBOUND_OWNER_GROUPS` and `..._EXCLUDE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Every group but these.
    AllBut(Vec<u32>),
    /// These alone.
    Only(Vec<u32>),
}

/// How inbound connections reach the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Destination addresses are translated; the proxy calls the application from 127.0.0.6 or ::6.
    Redirect,
    /// Connections are given to transparent sockets; the application sees the client's address. The proxy needs
    /// `CAP_NET_ADMIN`.
    Transparent {
        /// `-t`; 1337. Packets with it stay on this host.
        mark: u32,
        /// `-r`; 133. The routing table that keeps them.
        table: u32,
    },
}

/// What is intercepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interception {
    /// Where outbound TCP goes; 15001.
    pub outbound: u16,
    /// Where inbound TCP goes; 15006.
    pub inbound: u16,
    /// Never taken on the way in: where tunnels end; 15008.
    pub tunnel: u16,
    /// Redirected or transparent.
    pub mode: Mode,
    /// Where DNS questions go; 15053; none leaves them alone.
    pub dns: Option<u16>,
    /// Resolvers whose questions are taken.
    pub resolvers: Vec<IpAddr>,
    /// Questions to any resolver are taken.
    pub all_resolvers: bool,
    /// The proxy's own sockets; mark 1337.
    pub own: Own,
    /// Groups whose outbound traffic is taken; all.
    pub groups: Groups,
    /// Inbound ports to take (`includeInboundPorts`); `None` is all (`*`).
    pub include_inbound: Option<Vec<u16>>,
    /// Inbound ports to leave alone (`excludeInboundPorts` and the proxy's own) where all are taken.
    pub exclude_inbound: Vec<u16>,
    /// Destination ports taken whatever the address (`includeOutboundPorts`).
    pub include_outbound: Vec<u16>,
    /// Destination ports left alone (`excludeOutboundPorts`).
    pub exclude_outbound: Vec<u16>,
    /// Destinations taken (`includeOutboundIPRanges`); `None` is all (`*`).
    pub include_ranges: Option<Vec<(IpAddr, u8)>>,
    /// Destinations left alone (`excludeOutboundIPRanges`).
    pub exclude_ranges: Vec<(IpAddr, u8)>,
    /// Links whose traffic is left alone (`excludeInterfaces`).
    pub exclude_interfaces: Vec<Interface>,
    /// Links of virtual machines: what arrives by them is outbound traffic (`istio.io/reroute-virtual-interfaces`).
    pub virtual_interfaces: Vec<Interface>,
    /// What an application calls itself by in IPv4 (`ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR`); 127.0.0.1/32.
    pub loopback: (Ipv4Addr, u8),
    /// Packets that belong to no connection are dropped and not answered with a reset (`INVALID_DROP`); false.
    pub drop_invalid: bool,
}

impl Default for Interception {
    fn default() -> Self {
        Self {
            outbound: 15001,
            inbound: 15006,
            tunnel: 15008,
            mode: Mode::Redirect,
            dns: None,
            resolvers: Vec::new(),
            all_resolvers: false,
            own: Own::Mark(1337),
            groups: Groups::AllBut(Vec::new()),
            include_inbound: None,
            exclude_inbound: vec![15020, 15021, 15090],
            include_outbound: Vec::new(),
            exclude_outbound: Vec::new(),
            include_ranges: None,
            exclude_ranges: Vec::new(),
            exclude_interfaces: Vec::new(),
            virtual_interfaces: Vec::new(),
            loopback: (Ipv4Addr::LOCALHOST, 32),
            drop_invalid: false,
        }
    }
}
