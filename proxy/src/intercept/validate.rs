//! `--run-validation`: does a connection really go where the rules send it?
//!
//! In: the rules. Out: what was tried and worked, or what did not. As the proxy's user a call to this very pod must
//! arrive at the inbound port, as any other user a call to elsewhere at the outbound port, and both must keep the
//! address that was dialled. Nothing else listens on those ports yet: this runs before the proxy.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use base::net::Interception;
use base::net::intercept::{Mode, Own};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// One connection that shall arrive.
struct Probe {
    from: Option<IpAddr>,
    to: SocketAddr,
    arrives: SocketAddr,
}

/// What worked, in words.
pub(super) fn run(rules: &Interception, port: u16, limit: Duration) -> Result<String, String> {
    let exempt = exempt(&rules.own)?;
    if exempt && rules.mode != Mode::Redirect {
        return Ok("nothing tried: only the proxy may open a transparent socket".into());
    }
    let mut said = Vec::new();
    for probe in probes(rules, port, exempt) {
        match attempt(&probe, limit) {
            Ok(()) => said.push(format!("{} arrived at {}", probe.to, probe.arrives)),
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => {
                said.push(format!("{} has no route here", probe.to));
            }
            Err(error) => return Err(format!("{} did not arrive at {}: {error}", probe.to, probe.arrives)),
        }
    }
    if said.is_empty() {
        return Ok("nothing tried: nothing outbound is intercepted".into());
    }
    Ok(said.join(", "))
}

/// Whether this process is the proxy in the eyes of the rules.
fn exempt(own: &Own) -> Result<bool, String> {
    let Own::Owners { users, groups } = own else { return Ok(false) };
    let path = "/proc/self/status";
    let status = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let has = |key: &str, ids: &[u32]| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        // Real, effective, saved, and the one that sockets get.
        let id = line.split_whitespace().nth(3).and_then(|id| id.parse().ok());
        id.is_some_and(|id| ids.contains(&id))
    };
    Ok(has("Uid:", users) || has("Gid:", groups))
}

fn probes(rules: &Interception, port: u16, exempt: bool) -> Vec<Probe> {
    let (local4, local6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let probe = |from: Option<IpAddr>, to: IpAddr, arrives: IpAddr, at: u16| Probe {
        from,
        to: SocketAddr::new(to, port),
        arrives: SocketAddr::new(arrives, at),
    };
    if exempt {
        let mut probes = vec![probe(Some(local4), Ipv4Addr::new(127, 0, 0, 6).into(), local4, rules.inbound)];
        // Where ::6 is no address of this host there is no IPv6.
        let other = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));
        if std::net::UdpSocket::bind((other, 0)).is_ok() {
            probes.push(probe(Some(local6), other, local6, rules.inbound));
        }
        return probes;
    }
    match &rules.include_ranges {
        // Addresses of documentation: nobody answers there.
        None => vec![
            probe(None, Ipv4Addr::new(192, 0, 2, 1).into(), local4, rules.outbound),
            probe(None, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), local6, rules.outbound),
        ],
        Some(ranges) => ranges
            .iter()
            .map(|(address, _)| {
                probe(None, *address, if address.is_ipv4() { local4 } else { local6 }, rules.outbound)
            })
            .collect(),
    }
}

fn attempt(probe: &Probe, limit: Duration) -> io::Result<()> {
    let socket =
        |address: SocketAddr| Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let listener = socket(probe.arrives)?;
    listener.set_reuse_address(true)?;
    listener.bind(&probe.arrives.into())?;
    listener.listen(8)?;
    listener.set_nonblocking(true)?;
    let client = socket(probe.to)?;
    if let Some(from) = probe.from {
        client.bind(&SocketAddr::new(from, 0).into())?;
    }
    client.connect_timeout(&probe.to.into(), limit)?;
    let end = Instant::now() + limit;
    loop {
        match listener.accept() {
            Ok((arrived, _)) => {
                let socket = SockRef::from(&arrived);
                let original =
                    if probe.to.is_ipv4() { socket.original_dst_v4()? } else { socket.original_dst_v6()? };
                if original.as_socket() == Some(probe.to) {
                    return Ok(());
                }
                let seen = original.as_socket();
                return Err(io::Error::other(format!("it arrived as a call to {seen:?}")));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() > end {
                    return Err(io::Error::other("it was accepted elsewhere"));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
        }
    }
}
