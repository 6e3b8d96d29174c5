//! Virtual hosts as resources: announced one by one, or joined into their table.
//!
//! Comes in: a table and its virtual hosts. Goes out: resources. Two virtual hosts of a table never answer to the
//! same name: the first keeps it, since a client refuses the whole table otherwise.

use std::collections::BTreeSet;
use std::sync::Arc;

use wire::{Kind, Resource};

use crate::xds::names::{RouteName, virtual_host_resource};
use crate::xds::route::config::{self, Rest};
use crate::xds::route::{Host, Table, host};
use crate::xds::say::Sight;

/// The resources of one table.
pub(crate) fn table(
    sight: &Sight<'_>,
    name: RouteName,
    rest: Rest,
    mut hosts: Vec<Host>,
) -> Vec<Arc<Resource>> {
    let mut taken = BTreeSet::new();
    for host in &mut hosts {
        host.domains.retain(|domain| taken.insert(domain.clone()));
    }
    hosts.retain(|host| !host.domains.is_empty());
    // A `*` of somebody's is the rest.
    let rest = if taken.contains("*") { Rest::Nothing } else { rest };
    let announced = sight.view.session.delta;
    let stock = !sight.view.features.own();
    let said: Vec<Arc<Resource>> = hosts
        .into_iter()
        .map(|mut input| {
            let resource = virtual_host_resource(&name, &input.name);
            // Envoy forgets a virtual host by the name inside of it.
            if announced && stock {
                input.name.clone_from(&resource);
            }
            sight.memo.say(Kind::VirtualHost, &resource, &input, host::build)
        })
        .collect();
    let versions = if announced { Vec::new() } else { said.iter().map(|r| r.version.to_string()).collect() };
    let ports_count = name == RouteName::HttpProxy;
    let input = Table { name: name.clone(), announced, ports_count, rest, hosts: versions };
    let table = sight.memo.say_bytes(Kind::Route, &name.to_string(), &input, |input| {
        let inline: Vec<_> =
            if announced { Vec::new() } else { said.iter().map(|r| r.bytes.clone()).collect() };
        config::build(input, &inline)
    });
    let mut out = vec![table];
    if announced {
        out.extend(said);
    }
    out
}
