//! Resources of a control plane: bytes of a message, decoded, lowered, linked, and asked for a decision.
//!
//! Promises: a resource is refused by its name or in force; where many rules have an index it finds what a walk over all of
//! them finds.

use std::sync::Arc;

use base::Live;
use bytes::Bytes;
use http::{HeaderMap, Method};
use proxy::compile::{Part, Slots, lower};
use proxy::config::{Config, RouteTable};
use proxy::dice::Dice;
use proxy::rehearse::{Call, Entry, rehearse};
use proxy::router::{Head, find_host, rule_matches};
use proxy::tls::Secrets;
use proxy::xds::{Batch, Store};
use wire::{Kind, Resource};

pub fn xds(bytes: &[u8]) {
    let Some((&[kind], message)) = bytes.split_first_chunk() else { return };
    let kind = Kind::ALL[usize::from(kind) % Kind::ALL.len()];
    let message = Bytes::copy_from_slice(message);
    let resource = |name: &str| Resource::received(kind, name, "1", message.clone());
    let mut slots = Slots::default();
    // What a resource calls itself must be its name; the reject of any other says which one it has.
    let name = match lower(&resource("\u{0}"), &mut slots) {
        Ok(_) => "\u{0}".to_owned(),
        Err(reject) => {
            let told =
                reject.reason.strip_prefix("is ").and_then(|rest| rest.split(", but the resource").next());
            told.unwrap_or("\u{0}").to_owned()
        }
    };
    if let Ok(Part::Route(part)) = lower(&resource(&name), &mut slots) {
        indexed(&part.table);
    }
    let live = Live::new(Config::default());
    let mut store = Store::new(live.clone(), Arc::new(Secrets::new()));
    let changed = store.apply(Batch { added: vec![resource(&name)], removed: Vec::new() });
    let config = live.load();
    if changed.rejects.is_empty() {
        for listener in config.listeners.values() {
            for address in &listener.addresses {
                rehearse(&config, &call(*address), &mut Dice::new(1)).to_string();
            }
        }
    }
    store.apply(Batch { added: Vec::new(), removed: vec![(kind, name.into())] });
}

fn call(destination: std::net::SocketAddr) -> Call {
    Call {
        entry: Entry::Port,
        destination,
        source: ([10, 0, 0, 9], 40_000).into(),
        tls: false,
        server_name: None,
        protocols: vec!["http/1.1".into()],
        method: Method::GET,
        scheme: "http".into(),
        authority: "a.example:80".into(),
        path: "/a/b?c=d".into(),
        headers: HeaderMap::new(),
    }
}

/// The index of paths against a walk.
fn indexed(table: &RouteTable) {
    let headers = HeaderMap::new();
    for host in &table.hosts {
        let Some(paths) = &host.paths else { continue };
        for path in ["/", "/a", "/a/b", "", "*", "/b?x"] {
            let head = Head { method: &Method::GET, scheme: "http", authority: "a", path, headers: &headers };
            let matches = |number: &usize| rule_matches(&host.rules[*number], &head, &mut Dice::new(1));
            let walked = (0..host.rules.len()).find(matches);
            let bare = path.split('?').next().unwrap_or_default();
            assert_eq!(paths.candidates(bare).find(matches), walked, "{path}");
        }
    }
    for authority in ["a.example", "a.example:80", "", "*"] {
        find_host(table, authority);
    }
}
