//! What is the proxy's own: its inbound listener and the clusters of its ports.
//!
//! In: the ports that services declare for the view's workload, the mode of each. Out: the one layer that is keyed by
//! the workload; two replicas share it.

use wire::Kind;

use crate::xds::cluster::{self, build};
use crate::xds::filters::Direction;
use crate::xds::listener::inbound::{self, Inbound, InboundPort};
use crate::xds::names::{self, ClusterName};
use crate::xds::say::{Layer, Sight};
use crate::xds::served::Served;

/// Key: ports, modes and what is observed; never a raw label.
pub(crate) fn layer(sight: &Sight<'_>) -> Layer {
    let mesh = &sight.snapshot.mesh;
    let listener = Inbound {
        ports: sight.view.served.iter().map(port).collect(),
        mode: sight.view.mode,
        transparent: sight.view.transparent,
        inspect_timeout: mesh.inspect_timeout,
        common: sight.common(Direction::Inbound),
    };
    let connect_timeout = mesh.outbound.connect_timeout;
    let on = (&listener, &sight.view.served, connect_timeout, sight.view.both_families());
    sight.layer("inbound", &on, || {
        let mut out = vec![sight.memo.say(Kind::Listener, names::VIRTUAL_INBOUND, &listener, inbound::build)];
        for served in &sight.view.served {
            let input = cluster::Inbound {
                port: served.port,
                protocol: served.protocol,
                services: served
                    .services
                    .iter()
                    .map(|(h, n, ns, _)| (h.clone(), n.clone(), ns.clone()))
                    .collect(),
                pool: served.pool.clone(),
                to: served.to.clone(),
                connect_timeout,
                both_families: sight.view.both_families(),
            };
            let name = ClusterName::Inbound { port: served.port }.to_string();
            out.push(sight.memo.say(Kind::Cluster, &name, &input, build::inbound));
        }
        out
    })
}

fn port(served: &Served) -> InboundPort {
    let operation = served.services.first().map(|(host, _, _, port)| format!("{host}:{port}/*"));
    InboundPort {
        port: served.port,
        protocol: served.protocol,
        mode: served.mode,
        operation: operation.unwrap_or_default(),
    }
}
