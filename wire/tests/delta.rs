//! Rules of delta xDS that the property test does not spell out, one by one.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use wire::delta::{Client, Failure, Report, Request, Server, Sync};
use wire::{Kind, Reject, Resource};

fn set(kind: Kind, items: &[(&str, &str)]) -> Vec<Arc<Resource>> {
    items
        .iter()
        .map(|(name, version)| Arc::new(Resource::received(kind, *name, *version, Bytes::new())))
        .collect()
}

fn ask(kind: Kind, names: &[&str]) -> Request {
    Request {
        kind: Some(kind),
        subscribe: names.iter().map(|name| Arc::from(*name)).collect(),
        ..Request::default()
    }
}

fn ack(kind: Kind, nonce: &Arc<str>) -> Request {
    Request { kind: Some(kind), nonce: nonce.clone(), ..Request::default() }
}

fn names(resources: &[Arc<Resource>]) -> Vec<&str> {
    resources.iter().map(|resource| &*resource.name).collect()
}

#[test]
fn a_first_wildcard_request_is_answered_even_if_there_is_nothing() {
    let mut server = Server::new();
    server.received(&ask(Kind::Cluster, &[]));
    assert!(server.drain().is_empty(), "not offered yet");
    server.offer(Kind::Cluster, &[]);
    let responses = server.drain();
    assert_eq!((responses.len(), responses[0].resources.len()), (1, 0));
    server.received(&ack(Kind::Cluster, &responses[0].nonce));
    assert!(server.drain().is_empty());
}

#[test]
fn a_name_that_does_not_exist_is_answered_by_removal_once() {
    let mut server = Server::new();
    server.offer(Kind::Endpoints, &set(Kind::Endpoints, &[("a", "1")]));
    server.received(&ask(Kind::Endpoints, &["a", "b"]));
    let first = server.drain().remove(0);
    assert_eq!(names(&first.resources), ["a"]);
    assert_eq!(first.removed, ["b".into()]);
    server.received(&ack(Kind::Endpoints, &first.nonce));
    assert!(server.drain().is_empty());
    server.offer(Kind::Endpoints, &set(Kind::Endpoints, &[("a", "1"), ("b", "1")]));
    assert_eq!(names(&server.drain()[0].resources), ["b"]);
}

#[test]
fn changes_merge_while_a_response_is_unanswered() {
    let mut server = Server::new();
    server.offer(Kind::Listener, &set(Kind::Listener, &[("a", "1"), ("b", "1")]));
    server.received(&ask(Kind::Listener, &["*"]));
    let first = server.drain().remove(0);
    server.offer(Kind::Listener, &set(Kind::Listener, &[("a", "2"), ("b", "1")]));
    server.offer(Kind::Listener, &set(Kind::Listener, &[("a", "3"), ("b", "1")]));
    server.offer(Kind::Listener, &set(Kind::Listener, &[("a", "3"), ("c", "1")]));
    assert!(server.drain().is_empty());
    assert_eq!(server.sync(Kind::Listener), Sync::Pending);
    server.received(&ack(Kind::Listener, &first.nonce));
    let second = server.drain().remove(0);
    assert_eq!(names(&second.resources), ["a", "c"]);
    assert_eq!(&*second.resources[0].version, "3");
    assert_eq!(second.removed, ["b".into()]);
}

#[test]
fn a_refusal_is_reported_and_not_tried_again_until_the_next_version() {
    let mut server = Server::new();
    server.offer(Kind::Listener, &set(Kind::Listener, &[("a", "1")]));
    server.received(&ask(Kind::Listener, &[]));
    let first = server.drain().remove(0);
    let error = Failure { code: 13, message: "lds a: no".into() };
    let nack = Request { error: Some(error.clone()), ..ack(Kind::Listener, &first.nonce) };
    let nonce = first.nonce.clone();
    assert_eq!(server.received(&nack), [Report::Nack { kind: Kind::Listener, nonce, error }]);
    assert!(server.drain().is_empty());
    assert_eq!(server.sync(Kind::Listener), Sync::Refused("lds a: no".into()));
    server.offer(Kind::Listener, &set(Kind::Listener, &[("a", "2")]));
    assert_eq!(server.drain().len(), 1);
}

#[test]
fn a_late_answer_is_stale() {
    let mut server = Server::new();
    server.offer(Kind::Cluster, &set(Kind::Cluster, &[("a", "1")]));
    server.received(&ask(Kind::Cluster, &[]));
    let first = server.drain().remove(0);
    server.received(&ack(Kind::Cluster, &first.nonce));
    assert_eq!(server.received(&ack(Kind::Cluster, &first.nonce)), [Report::Stale { kind: Kind::Cluster }]);
}

#[test]
fn virtual_hosts_follow_their_route_configuration() {
    let mut server = Server::new();
    server.offer(Kind::Route, &set(Kind::Route, &[("80", "1"), ("90", "1")]));
    server.offer(Kind::VirtualHost, &set(Kind::VirtualHost, &[("80/a", "1"), ("90/b", "1")]));
    server.received(&ask(Kind::Route, &["80"]));
    let routes = server.drain().remove(0);
    // Envoy asks once, without names, when its first route configuration wants virtual hosts.
    server.received(&ask(Kind::VirtualHost, &[]));
    let hosts = server.drain().remove(0);
    assert_eq!(names(&hosts.resources), ["80/a"]);
    server.received(&ack(Kind::VirtualHost, &hosts.nonce));
    server.received(&ack(Kind::Route, &routes.nonce));
    // A second route configuration brings its own, unasked and after it.
    server.received(&ask(Kind::Route, &["90"]));
    let both = server.drain();
    assert_eq!(both.iter().map(|r| r.kind).collect::<Vec<_>>(), [Kind::Route, Kind::VirtualHost]);
    assert_eq!(names(&both[1].resources), ["90/b"]);
    server.received(&ack(Kind::Route, &both[0].nonce));
    server.received(&ack(Kind::VirtualHost, &both[1].nonce));
    // One changed host is one resource.
    server.offer(Kind::VirtualHost, &set(Kind::VirtualHost, &[("80/a", "1"), ("90/b", "2")]));
    assert_eq!(names(&server.drain()[0].resources), ["90/b"]);
}

#[test]
fn unsubscribed_names_fall_silent_and_come_back_in_full() {
    let mut server = Server::new();
    server.offer(Kind::Endpoints, &set(Kind::Endpoints, &[("a", "1")]));
    server.received(&ask(Kind::Endpoints, &["a"]));
    let first = server.drain().remove(0);
    server.received(&ack(Kind::Endpoints, &first.nonce));
    let drop = Request { unsubscribe: vec!["a".into()], ..ask(Kind::Endpoints, &[]) };
    server.received(&drop);
    server.offer(Kind::Endpoints, &set(Kind::Endpoints, &[("a", "2")]));
    assert!(server.drain().is_empty());
    server.received(&ask(Kind::Endpoints, &["a"]));
    assert_eq!(&*server.drain()[0].resources[0].version, "2");
}

#[test]
fn routes_wait_for_clusters_but_endpoints_do_not() {
    let mut server = Server::new();
    server.offer(Kind::Cluster, &set(Kind::Cluster, &[("a", "1")]));
    server.offer(Kind::Endpoints, &set(Kind::Endpoints, &[("a", "1")]));
    server.offer(Kind::Route, &set(Kind::Route, &[("r", "1")]));
    for (kind, names) in [(Kind::Cluster, &[][..]), (Kind::Endpoints, &["a"]), (Kind::Route, &["r"])] {
        server.received(&ask(kind, names));
    }
    let first = server.drain();
    assert_eq!(first.len(), 3);
    for response in &first[1..] {
        server.received(&ack(response.kind, &response.nonce));
    }
    server.offer(Kind::Cluster, &set(Kind::Cluster, &[("a", "1"), ("b", "1")]));
    server.offer(Kind::Endpoints, &set(Kind::Endpoints, &[("a", "2")]));
    server.offer(Kind::Route, &set(Kind::Route, &[("r", "2")]));
    let kinds: Vec<Kind> = server.drain().iter().map(|response| response.kind).collect();
    assert_eq!(kinds, [Kind::Endpoints], "the first clusters are not answered yet");
    server.received(&ack(Kind::Cluster, &first[0].nonce));
    let kinds: Vec<Kind> = server.drain().iter().map(|response| response.kind).collect();
    assert_eq!(kinds, [Kind::Cluster, Kind::Route]);
}

#[test]
fn the_client_keeps_the_last_good_version_of_what_it_refused() {
    let mut client = Client::new();
    client.subscribe_all(Kind::Cluster);
    client.connected();
    assert_eq!(client.drain(), [ask(Kind::Cluster, &[])]);
    let response = |items: &[(&str, &str)]| wire::delta::Response {
        kind: Kind::Cluster,
        resources: set(Kind::Cluster, items),
        removed: Vec::new(),
        nonce: "n".into(),
    };
    let accepted = client.received(response(&[("a", "1"), ("b", "1")]));
    client.ack(&accepted);
    let accepted = client.received(response(&[("a", "2"), ("b", "2")]));
    client.nack(&accepted, &[Reject::new(Kind::Cluster, "a", "x", "y")]);
    let request = client.drain().remove(0);
    assert_eq!(request.error.unwrap().message, "cds a: x: y");
    client.disconnected();
    assert!(client.drain().is_empty());
    client.connected();
    let request = client.drain().remove(0);
    let held: Vec<(&str, &str)> = request.initial_versions.iter().map(|(n, v)| (&**n, &**v)).collect();
    assert_eq!(held, [("a", "1"), ("b", "2")]);
    assert_eq!(&*request.nonce, "");
}

#[test]
fn a_changed_cluster_brings_its_endpoints_again() {
    let mut server = Server::new();
    server.offer(Kind::Cluster, &set(Kind::Cluster, &[("a", "1"), ("b", "1")]));
    server.offer(Kind::Endpoints, &set(Kind::Endpoints, &[("a", "1"), ("b", "1")]));
    server.received(&ask(Kind::Cluster, &[]));
    server.received(&ask(Kind::Endpoints, &["a", "b"]));
    for response in server.drain() {
        server.received(&ack(response.kind, &response.nonce));
    }
    server.offer(Kind::Cluster, &set(Kind::Cluster, &[("a", "1"), ("b", "2")]));
    let told = server.drain();
    let told: Vec<_> = told.iter().map(|response| (response.kind, names(&response.resources))).collect();
    assert_eq!(told, [(Kind::Cluster, vec!["b"]), (Kind::Endpoints, vec!["b"])]);
}
