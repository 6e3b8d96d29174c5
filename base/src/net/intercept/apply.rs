//! Rules of interception into the kernel, and out of it.
//!
//! In: an `Interception`. Out: rules, routes and the address that they need, all of it the same after a second time; or
//! what was refused. `apply` takes a socket of the namespace that is meant, `install` and `clean` act on the caller's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::{Interception, Mode};
use super::rules::TABLE;
use crate::net::netlink::{Netlink, Protocol, Refused, Requests};
use crate::net::nft::{Batch, Family};
use crate::net::route::{self, Kept, LOOPBACK};

/// The proxy delivers to the application from here (IPv6). 127.0.0.6 is every host's own already, this one is not.
pub(super) const DELIVERY6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);

/// What is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// IPv6 is intercepted; false where this namespace has none.
    pub ipv6: bool,
    /// DNS has connection tracking zones of its own; false where it needs none, or the kernel has none.
    pub zones: bool,
}

impl Interception {
    /// Puts the rules in force, replacing earlier ones, in both address families. For namespaces whose addresses and
    /// routes are the caller's affair.
    pub fn apply(&self, socket: &Netlink) -> Result<(), Refused> {
        self.commit(socket, &[Family::Ip, Family::Ip6]).map(drop)
    }

    /// Puts everything in force in this namespace: what the rules rely on first.
    pub fn install(&self) -> Result<Applied, Refused> {
        let ipv6 = has_ipv6();
        let families: &[Family] = if ipv6 { &[Family::Ip, Family::Ip6] } else { &[Family::Ip] };
        let routes = Netlink::open(Protocol::Route)?;
        if ipv6 {
            let add = |requests: &mut Requests| route::address(requests, LOOPBACK, DELIVERY6.into());
            tolerant(&routes, &[libc::EEXIST], add)?;
        }
        if let Mode::Transparent { mark, table } = self.mode {
            for kept in families.iter().map(|family| kept(*family, mark, table)) {
                tolerant(&routes, &[libc::EEXIST], |requests| route::kept_rule(requests, kept, true))?;
                tolerant(&routes, &[libc::EEXIST], |requests| route::kept_route(requests, kept, true))?;
            }
        }
        let zones = self.commit(&Netlink::open(Protocol::Netfilter)?, families)?;
        Ok(Applied { ipv6, zones })
    }

    /// True if with zones. A kernel without them still has the rest.
    fn commit(&self, socket: &Netlink, families: &[Family]) -> Result<bool, Refused> {
        let put = |zones: bool| {
            let mut batch = Batch::new();
            batch.ruleset(&self.rules(families, zones));
            batch.commit(socket)
        };
        if self.dns.is_none() {
            return put(false).map(|()| false);
        }
        match put(true) {
            Ok(()) => Ok(true),
            Err(refused) if refused.what.contains("ct zone") => put(false).map(|()| false),
            Err(refused) => Err(refused),
        }
    }
}

/// Removes what `install` puts in force, as far as it is there; mark and table as they were given then.
pub fn clean(mark: u32, table: u32) -> Result<(), Refused> {
    let socket = Netlink::open(Protocol::Netfilter)?;
    let mut batch = Batch::new();
    let ipv6 = has_ipv6();
    let families: &[Family] = if ipv6 { &[Family::Ip, Family::Ip6] } else { &[Family::Ip] };
    for family in families {
        batch.remove_table(*family, TABLE);
    }
    batch.commit(&socket)?;
    let routes = Netlink::open(Protocol::Route)?;
    let gone = [libc::ENOENT, libc::ESRCH, libc::EADDRNOTAVAIL];
    for kept in families.iter().map(|family| kept(*family, mark, table)) {
        tolerant(&routes, &gone, |requests| route::kept_rule(requests, kept, false))?;
        tolerant(&routes, &gone, |requests| route::kept_route(requests, kept, false))?;
    }
    if ipv6 {
        tolerant(&routes, &gone, |requests| route::no_address(requests, LOOPBACK, DELIVERY6.into()))?;
    }
    Ok(())
}

fn kept(family: Family, mark: u32, table: u32) -> Kept {
    let family: IpAddr = match family {
        Family::Ip => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ip6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    Kept { family, mark, table }
}

fn tolerant(socket: &Netlink, tolerated: &[i32], fill: impl FnOnce(&mut Requests)) -> Result<(), Refused> {
    let mut requests = Requests::default();
    fill(&mut requests);
    match socket.send(requests) {
        Err(refused) if refused.source.raw_os_error().is_some_and(|code| tolerated.contains(&code)) => Ok(()),
        outcome => outcome,
    }
}

/// Whether this namespace has an IPv6 address, if only the one of loopback. The kernel lists none where the protocol is
/// missing, or switched off for every link.
fn has_ipv6() -> bool {
    match std::fs::read_to_string("/proc/thread-self/net/if_inet6") {
        Ok(list) => !list.trim().is_empty(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
