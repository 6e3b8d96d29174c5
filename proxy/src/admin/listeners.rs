//! `/listeners`: what is listened on.
//!
//! In: the listening sockets. Out: Envoy's text, or `envoy.admin.v3.Listeners` as JSON; an address that could not be
//! opened is listed with its error.

use std::net::SocketAddr;
use std::sync::Arc;

use base::admin::{Request, Response, Routes};
use serde_json::{Value, json};

use super::pages::{pretty, reading};
use crate::process::Process;

pub(super) fn routes(routes: Routes, process: &Arc<Process>) -> Routes {
    routes.get("/listeners", "print listener info", reading(process, answer))
}

fn answer(process: &Process, request: &Request) -> Response {
    let all = process.listeners.list();
    if request.param("format") != Some("json") {
        let line = |(configured, bound): &(SocketAddr, crate::listen::Bound)| {
            let address = bound.local.unwrap_or(*configured);
            let error = bound.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            format!("{}::{address}{error}\n", bound.listener)
        };
        return Response::text(all.iter().map(line).collect::<String>());
    }
    let socket = |address: SocketAddr| json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } });
    let mut statuses: Vec<Value> = Vec::new();
    for (configured, bound) in &all {
        let address = socket(bound.local.unwrap_or(*configured));
        let known = statuses.iter_mut().find(|status| status["name"] == *bound.listener);
        match known.and_then(Value::as_object_mut) {
            // A further address of the same listener.
            Some(status) => {
                let more = status.entry("additional_local_addresses").or_insert_with(|| json!([]));
                if let Some(list) = more.as_array_mut() {
                    list.push(address);
                }
            }
            None => statuses.push(match &bound.error {
                None => json!({ "name": *bound.listener, "local_address": address }),
                Some(error) => json!({ "name": *bound.listener, "local_address": address, "error": error }),
            }),
        }
    }
    pretty(&json!({ "listener_statuses": statuses }))
}
