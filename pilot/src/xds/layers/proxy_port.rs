//! The HTTP proxy port of a sidecar and its table: every HTTP service by name and port.
//!
//! In: the view's address of that port, the services of the scope. Out: one listener and one table where the port is
//! asked for; else an empty layer.

use wire::Kind;

use super::hosts::table;
use super::routes::service_host;
use crate::model::service::Protocol;
use crate::xds::filters::Direction;
use crate::xds::listener::{ProxyPort, proxy_port};
use crate::xds::names::RouteName;
use crate::xds::route::Host;
use crate::xds::route::config::Rest;
use crate::xds::say::{Layer, Sight};

/// Port of names that say none.
const PLAIN: u16 = 80;

/// Nothing for proxies without such a port.
pub(crate) fn layer(sight: &Sight<'_>) -> Layer {
    let Some((address, port)) = sight.view.http_proxy else {
        return sight.layer("proxy-port", &(), Vec::new);
    };
    let (view, mesh) = (sight.view, &sight.snapshot.mesh);
    let listener = ProxyPort { address, port, common: sight.common(Direction::Outbound) };
    let on = (
        (sight.scope, &view.namespace, &view.labels, view.session.delta, view.features.own()),
        (&listener, &mesh.retries, &mesh.policy),
    );
    sight.layer("proxy-port", &on, || {
        let mut out = vec![sight.memo.say(Kind::Listener, &listener.name(), &listener, proxy_port::build)];
        // Where the client wanted to go is this port: there is nowhere to pass to.
        out.extend(table(sight, RouteName::HttpProxy, Rest::Block, hosts(sight)));
        out
    })
}

fn hosts(sight: &Sight<'_>) -> Vec<Host> {
    let mut out = Vec::new();
    for visible in sight.scope.named() {
        for port in &visible.service.ports {
            if port.protocol.is_http() || port.protocol == Protocol::Unknown {
                let mut host = service_host(sight, visible, port.number);
                let with_port: Vec<String> =
                    host.domains.iter().map(|d| format!("{d}:{}", port.number)).collect();
                if port.number != PLAIN {
                    host.domains.clear();
                }
                host.domains.extend(with_port);
                out.push(host);
            }
        }
    }
    out
}
