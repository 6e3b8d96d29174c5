//! What one batch after another leaves in force: survivors, last good versions, what is refused.

use super::*;
use crate::config::{Endpoint, RouteSlot};
use prost::Message;
use std::sync::atomic::Ordering;
use wire::pb::envoy::config::cluster::v3 as cluster;

/// A resource from Envoy's JSON; its version is the hash of its bytes.
fn resource(kind: Kind, name: &str, json: &serde_json::Value) -> Resource {
    let bytes = wire::reflect::from_json(kind.message_name(), json).unwrap();
    let hash = wire::resource::hash128(&bytes);
    Resource::encoded(kind, name, bytes, hash)
}

fn yaml(kind: Kind, name: &str, text: &str) -> Resource {
    resource(kind, name, &serde_saphyr::from_str(text).unwrap())
}

fn store() -> (Store, Live<Config>) {
    let live = Live::new(Config::default());
    (Store::new(live.clone(), Arc::new(Secrets::new())), live)
}

fn add(store: &mut Store, added: Vec<Resource>) -> Changed {
    store.apply(Batch { added, removed: Vec::new() })
}

fn eds(timeout: &str) -> Resource {
    yaml(
        Kind::Cluster,
        "c",
        &format!(
            "{{name: c, type: EDS, eds_cluster_config: {{eds_config: {{ads: {{}}}}, service_name: s}}, connect_timeout: {timeout}}}"
        ),
    )
}

fn endpoints(last: &[u8]) -> Resource {
    let list: Vec<_> = last
        .iter()
        .map(|n| {
            format!("{{endpoint: {{address: {{socket_address: {{address: 10.0.0.{n}, port_value: 80}}}}}}}}")
        })
        .collect();
    yaml(
        Kind::Endpoints,
        "s",
        &format!("{{cluster_name: s, endpoints: [{{lb_endpoints: [{}]}}]}}", list.join(",")),
    )
}

fn the_cluster(live: &Live<Config>) -> Arc<Cluster> {
    let config = live.load();
    config.cluster(config.cluster_slots["c"]).unwrap().clone()
}

fn all(cluster: &Cluster) -> Vec<Arc<Endpoint>> {
    cluster.endpoints.load().all().cloned().collect()
}

#[test]
fn endpoints_never_cause_a_config_and_keep_their_state() {
    let (mut store, live) = store();
    assert!(add(&mut store, vec![eds("1s")]).config);
    assert_eq!(store.missing(), [(Kind::Endpoints, "s".into())]);
    let before = live.version();
    assert!(!add(&mut store, vec![endpoints(&[1, 2])]).config);
    assert_eq!(live.version(), before);
    assert!(store.missing().is_empty());
    let cluster = the_cluster(&live);
    let first = all(&cluster);
    first[1].state.requests_total.store(7, Ordering::Relaxed);
    add(&mut store, vec![endpoints(&[2, 3])]);
    let second = all(&cluster);
    assert!(Arc::ptr_eq(&first[1].state, &second[0].state));
    assert_eq!(cluster.outliers.members.load(Ordering::Relaxed), 2);
    store.apply(Batch { removed: vec![(Kind::Endpoints, "s".into())], ..Default::default() });
    assert_eq!(all(&cluster).len(), 2, "endpoints stay while their cluster does");
    store.apply(Batch { removed: vec![(Kind::Cluster, "c".into())], ..Default::default() });
    assert_eq!(store.held().count(), 0, "and go with it");
}

#[test]
fn a_new_version_adopts_what_is_alive() {
    let (mut store, live) = store();
    add(&mut store, vec![eds("1s"), endpoints(&[1])]);
    let old = the_cluster(&live);
    add(&mut store, vec![eds("2s")]);
    let new = the_cluster(&live);
    assert_ne!(old.version, new.version);
    assert_eq!(old.id, new.id, "connections are alike");
    assert!(Arc::ptr_eq(&old.limits, &new.limits) && Arc::ptr_eq(&old.endpoints, &new.endpoints));
    let mut message = cluster::Cluster::decode(eds("2s").bytes).unwrap();
    #[allow(deprecated)] // Control planes still send it.
    {
        message.http2_protocol_options = Some(Default::default());
    }
    message.lb_policy = cluster::cluster::LbPolicy::RingHash as i32;
    add(&mut store, vec![Resource::of(Kind::Cluster, "c", &message, 1)]);
    let other = the_cluster(&live);
    assert_ne!(new.id, other.id, "connections are not alike");
    assert!(!Arc::ptr_eq(&new.endpoints, &other.endpoints), "tables of the old set do not serve a ring");
    assert!(Arc::ptr_eq(&all(&new)[0].state, &all(&other)[0].state));
    assert_eq!(other.endpoints.load().hash_tables.len(), 1);
}

#[test]
fn a_bad_version_leaves_the_good_one_and_its_neighbours() {
    let (mut store, live) = store();
    add(&mut store, vec![eds("1s"), endpoints(&[1])]);
    let bad =
        yaml(Kind::Cluster, "c", "{name: c, type: EDS, lb_subset_config: {fallback_policy: ANY_ENDPOINT}}");
    let good = yaml(Kind::Cluster, "d", "{name: d}");
    let changed = add(&mut store, vec![bad, good]);
    assert_eq!(changed.rejects.len(), 1);
    assert_eq!(changed.rejects[0].path, "lb_subset_config");
    assert_eq!(all(&the_cluster(&live)).len(), 1);
    assert!(live.load().cluster_slots.contains_key("d"));
    assert_eq!(store.rejected().count(), 1);
    assert!(!add(&mut store, vec![eds("1s")]).config, "the good version came again: nothing to do");
    assert_eq!((store.rejected().count(), store.rejected_total()), (0, 1));
}

#[test]
fn one_virtual_host_changes_one_table() {
    let (mut store, live) = store();
    let route = |name: &str| {
        yaml(
            Kind::Route,
            name,
            &format!(
                "{{name: \"{name}\", vhds: {{config_source: {{ads: {{}}}}}}, virtual_hosts: [{{name: rest, domains: ['*']}}]}}"
            ),
        )
    };
    let host = |full: &str, domain: &str| {
        yaml(Kind::VirtualHost, full, &format!("{{name: \"{full}\", domains: [{domain}]}}"))
    };
    // Hosts may come before their table.
    add(&mut store, vec![host("80/a", "a"), host("80/b", "b"), host("801/c", "c")]);
    assert!(live.load().routes.is_empty());
    add(&mut store, vec![route("80"), route("801")]);
    let table = |slot| live.load().route_table(RouteSlot(slot)).unwrap().clone();
    // The slots are given when a listener or a resource names them.
    let listener = yaml(
        Kind::Listener,
        "l",
        r#"{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{filters: [{name: h, typed_config: {
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: x,
        rds: {route_config_name: "80", config_source: {ads: {}}}, http_filters: [{name: r, typed_config: {
        "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]}"#,
    );
    let changed = add(&mut store, vec![listener]);
    assert!(changed.listeners && changed.rejects.is_empty(), "{:?}", changed.rejects);
    assert_eq!(table(0).hosts.len(), 3);
    let before = table(0);
    add(&mut store, vec![host("80/b", "b2")]);
    let after = table(0);
    assert!(after.exact.contains_key("b2") && !after.exact.contains_key("b"));
    assert!(Arc::ptr_eq(&before.hosts[0], &after.hosts[0]), "its neighbour is the same");
    store.apply(Batch { removed: vec![(Kind::VirtualHost, "80/a".into())], ..Default::default() });
    assert_eq!(table(0).hosts.len(), 2);
    let wanted = store.wanted();
    assert!(wanted.routes.iter().map(|name| &**name).eq(["80"]));
    assert_eq!(wanted.virtual_hosts_of.len(), 2);
}

#[test]
fn the_session_cannot_touch_what_a_file_said() {
    let (mut store, live) = store();
    store.apply_fixed(Batch {
        added: vec![yaml(Kind::Cluster, "c", "{name: c, connect_timeout: 9s}")],
        removed: Vec::new(),
    });
    add(&mut store, vec![eds("1s")]);
    store.apply(Batch { removed: vec![(Kind::Cluster, "c".into())], ..Default::default() });
    assert_eq!(the_cluster(&live).settings.connect_timeout.as_secs(), 9);
}

#[tokio::test]
async fn names_of_dns_clusters_are_resolved() {
    let (mut store, live) = store();
    let dns = yaml(
        Kind::Cluster,
        "c",
        "{name: c, type: STRICT_DNS, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: x.example, port_value: 80}}}}]}]}}",
    );
    add(&mut store, vec![dns]);
    let cluster = the_cluster(&live);
    assert!(all(&cluster).is_empty());
    let table = store.dns().clone();
    let mut reader = cluster.endpoints.reader();
    let lookup = |_| async { Ok(vec![std::net::IpAddr::from([10, 0, 0, 1])]) };
    tokio::select! {
        () = table.run_with(lookup) => {}
        set = reader.changed() => assert_eq!(set.all().count(), 1),
    }
}
