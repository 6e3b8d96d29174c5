//! Both machines of each protocol, paired under hostile schedules.
//!
//! In: random sequences of changes, deliveries, duplicates, refusals, subscriptions and lost streams.
//! Each direction keeps its order, as a stream does, and takes its time. Checked: at most
//! one unanswered response per kind, no version ever goes back, the client ends with the server's set, a client that
//! comes back with it is sent nothing, and no route is in force without its cluster.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use wire::delta::Report;
use wire::{Kind, Reject, Resource, delta, sotw};

const KINDS: [Kind; 5] = [Kind::Cluster, Kind::Endpoints, Kind::Listener, Kind::Route, Kind::VirtualHost];
const NAMED: [Kind; 2] = [Kind::Endpoints, Kind::Route];

/// Versions that the client refuses.
fn is_bad(version: u64) -> bool {
    version % 7 == 3
}

fn name(kind: Kind, at: u8) -> Arc<str> {
    match kind {
        Kind::VirtualHost => format!("r{}/v{}", at % 3, at / 3).into(),
        Kind::Route => format!("r{}", at % 3).into(),
        _ => format!("{}{at}", kind.short()).into(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8),
    Delete(usize, u8),
    /// Several changes offered as one.
    Flush,
    ToServer,
    /// The server gets the next request twice.
    Duplicate,
    ToClient,
    Subscribe(usize, u8),
    Unsubscribe(usize, u8),
    Reconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = 0..KINDS.len();
    let step = prop_oneof![
        4 => (kind.clone(), 0..9u8).prop_map(|(k, n)| Step::Put(k, n)),
        2 => (kind, 0..9u8).prop_map(|(k, n)| Step::Delete(k, n)),
        3 => Just(Step::Flush),
        6 => Just(Step::ToServer),
        1 => Just(Step::Duplicate),
        6 => Just(Step::ToClient),
        2 => (0..NAMED.len(), 0..9u8).prop_map(|(k, n)| Step::Subscribe(k, n)),
        1 => (0..NAMED.len(), 0..9u8).prop_map(|(k, n)| Step::Unsubscribe(k, n)),
        1 => Just(Step::Reconnect),
    ];
    proptest::collection::vec(step, 1..120)
}

/// What should be, and what is on its way.
#[derive(Default)]
struct World {
    target: BTreeMap<Kind, BTreeMap<Arc<str>, u64>>,
    clock: u64,
}

impl World {
    fn put(&mut self, kind: Kind, name: Arc<str>) {
        self.clock += 1;
        self.target.entry(kind).or_default().insert(name, self.clock);
    }

    fn set(&self, kind: Kind) -> Vec<Arc<Resource>> {
        let set = self.target.get(&kind).into_iter().flatten();
        set.map(|(name, version)| {
            Arc::new(Resource::received(kind, name.clone(), version.to_string(), Bytes::new()))
        })
        .collect()
    }
}

fn number(version: &str) -> u64 {
    version.parse().unwrap()
}

fn rejects(resources: &[Arc<Resource>]) -> Vec<Reject> {
    let bad = resources.iter().filter(|resource| is_bad(number(&resource.version)));
    bad.map(|resource| Reject::new(resource.kind, resource.name.clone(), "", "bad")).collect()
}

/// What the client has must be what it should have, apart from refused versions.
fn assert_converged(kind: Kind, held: &BTreeMap<Arc<str>, u64>, wanted: &BTreeMap<Arc<str>, u64>) {
    for (name, version) in wanted {
        if is_bad(*version) {
            assert!(held.get(name).is_none_or(|held| held < version && !is_bad(*held)), "{kind} {name}");
        } else {
            assert_eq!(held.get(name), Some(version), "{kind} {name}");
        }
    }
    for name in held.keys() {
        assert!(wanted.contains_key(name), "{kind} {name} is held but gone");
    }
}

// ---- delta

struct Delta {
    world: World,
    server: delta::Server,
    client: delta::Client,
    up: VecDeque<delta::Request>,
    down: VecDeque<delta::Response>,
    unanswered: BTreeSet<Kind>,
    sent: usize,
}

impl Delta {
    fn new() -> Self {
        let mut client = delta::Client::new();
        client.subscribe_all(Kind::Cluster);
        client.subscribe_all(Kind::Listener);
        client.follow(Kind::VirtualHost);
        let mut pair = Delta {
            world: World::default(),
            server: delta::Server::new(),
            client,
            up: VecDeque::new(),
            down: VecDeque::new(),
            unanswered: BTreeSet::new(),
            sent: 0,
        };
        pair.reconnect();
        pair
    }

    fn reconnect(&mut self) {
        self.client.disconnected();
        self.server = delta::Server::new();
        self.up.clear();
        self.down.clear();
        self.unanswered.clear();
        self.offer();
        self.client.connected();
        self.pump();
    }

    fn offer(&mut self) {
        for kind in KINDS {
            self.server.offer(kind, &self.world.set(kind));
        }
    }

    fn pump(&mut self) {
        for request in self.client.drain() {
            self.up.push_back(request);
        }
        for response in self.server.drain() {
            assert!(self.unanswered.insert(response.kind), "two {} responses in flight", response.kind);
            self.sent += response.resources.len() + response.removed.len();
            self.down.push_back(response);
        }
    }

    fn deliver_up(&mut self, keep: bool) -> bool {
        let queue = &mut self.up;
        let Some(request) = (if keep { queue.front().cloned() } else { queue.pop_front() }) else {
            return false;
        };
        for report in self.server.received(&request) {
            match report {
                Report::Ack { kind, .. } | Report::Nack { kind, .. } => {
                    assert!(self.unanswered.remove(&kind))
                }
                Report::Asked { .. } | Report::Stale { .. } => {}
            }
        }
        self.pump();
        true
    }

    fn deliver_down(&mut self) -> bool {
        let Some(response) = self.down.pop_front() else { return false };
        let kind = response.kind;
        let before: BTreeMap<Arc<str>, u64> = self.held(kind);
        let accepted = self.client.received(response);
        match rejects(&accepted.resources) {
            none if none.is_empty() => self.client.ack(&accepted),
            some => self.client.nack(&accepted, &some),
        }
        for (name, version) in self.held(kind) {
            assert!(before.get(&name).is_none_or(|old| *old <= version), "{kind} {name} went back");
        }
        self.pump();
        true
    }

    fn held(&self, kind: Kind) -> BTreeMap<Arc<str>, u64> {
        self.client.held(kind).map(|(name, version)| (name.clone(), number(version))).collect()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Put(kind, at) => self.world.put(KINDS[kind], name(KINDS[kind], at)),
            Step::Delete(kind, at) => {
                self.world.target.entry(KINDS[kind]).or_default().remove(&name(KINDS[kind], at));
            }
            Step::Flush => self.offer(),
            Step::ToServer => drop(self.deliver_up(false)),
            Step::Duplicate => drop(self.deliver_up(true)),
            Step::ToClient => drop(self.deliver_down()),
            Step::Subscribe(kind, at) => self.client.subscribe(NAMED[kind], [name(NAMED[kind], at)]),
            Step::Unsubscribe(kind, at) => self.client.unsubscribe(NAMED[kind], [name(NAMED[kind], at)]),
            Step::Reconnect => self.reconnect(),
        }
        self.pump();
    }

    fn settle(&mut self) {
        self.offer();
        self.pump();
        while self.deliver_down() || self.deliver_up(false) {}
        assert!(self.server.is_idle());
    }

    fn assert_converged(&self) {
        let routes: BTreeSet<Arc<str>> = self.client.names(Kind::Route).cloned().collect();
        for kind in KINDS {
            let names: BTreeSet<Arc<str>> = self.client.names(kind).cloned().collect();
            let existing = self.world.target.get(&Kind::Route);
            let wanted =
                self.world.target.get(&kind).cloned().unwrap_or_default().into_iter().filter(|(name, _)| {
                    match kind {
                        Kind::Cluster | Kind::Listener => true,
                        Kind::VirtualHost => {
                            let parent = kind.parent_of(name).unwrap();
                            routes.contains(parent)
                                && existing.is_some_and(|routes| routes.contains_key(parent))
                        }
                        _ => names.contains(name),
                    }
                });
            assert_converged(kind, &self.held(kind), &wanted.collect());
        }
    }
}

// ---- state of the world

struct Sotw {
    world: World,
    server: sotw::Server,
    client: sotw::Client,
    up: VecDeque<sotw::Request>,
    down: VecDeque<sotw::Response>,
    unanswered: BTreeSet<Kind>,
    names: BTreeMap<Kind, BTreeSet<Arc<str>>>,
    sent: usize,
}

impl Sotw {
    fn new() -> Self {
        let mut client = sotw::Client::new();
        client.subscribe_all(Kind::Cluster);
        client.subscribe_all(Kind::Listener);
        let mut pair = Sotw {
            world: World::default(),
            server: sotw::Server::new(),
            client,
            up: VecDeque::new(),
            down: VecDeque::new(),
            unanswered: BTreeSet::new(),
            names: BTreeMap::new(),
            sent: 0,
        };
        pair.reconnect();
        pair
    }

    fn reconnect(&mut self) {
        self.client.disconnected();
        self.server = sotw::Server::new();
        self.up.clear();
        self.down.clear();
        self.unanswered.clear();
        self.offer();
        self.client.connected();
        self.pump();
    }

    fn offer(&mut self) {
        for kind in KINDS {
            self.server.offer(kind, &self.world.set(kind));
        }
    }

    fn pump(&mut self) {
        for request in self.client.drain() {
            self.up.push_back(request);
        }
        for response in self.server.drain() {
            assert!(self.unanswered.insert(response.kind), "two {} responses in flight", response.kind);
            self.sent += response.resources.len();
            self.down.push_back(response);
        }
    }

    fn deliver_up(&mut self, keep: bool) -> bool {
        let queue = &mut self.up;
        let Some(request) = (if keep { queue.front().cloned() } else { queue.pop_front() }) else {
            return false;
        };
        for report in self.server.received(&request) {
            match report {
                Report::Ack { kind, .. } | Report::Nack { kind, .. } => {
                    assert!(self.unanswered.remove(&kind))
                }
                Report::Asked { .. } | Report::Stale { .. } => {}
            }
        }
        self.pump();
        true
    }

    fn deliver_down(&mut self) -> bool {
        let Some(response) = self.down.pop_front() else { return false };
        let accepted = self.client.received(response);
        match rejects(&accepted.resources) {
            none if none.is_empty() => self.client.ack(&accepted),
            some => self.client.nack(&accepted, &some),
        }
        self.pump();
        true
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Put(kind, at) => self.world.put(KINDS[kind], name(KINDS[kind], at)),
            Step::Delete(kind, at) => {
                self.world.target.entry(KINDS[kind]).or_default().remove(&name(KINDS[kind], at));
            }
            Step::Flush => self.offer(),
            Step::ToServer => drop(self.deliver_up(false)),
            Step::Duplicate => drop(self.deliver_up(true)),
            Step::ToClient => drop(self.deliver_down()),
            Step::Subscribe(kind, at) => {
                let (kind, name) = (NAMED[kind], name(NAMED[kind], at));
                self.names.entry(kind).or_default().insert(name.clone());
                self.client.subscribe(kind, [name]);
            }
            Step::Unsubscribe(kind, at) => {
                let (kind, name) = (NAMED[kind], name(NAMED[kind], at));
                self.names.entry(kind).or_default().remove(&name);
                self.client.unsubscribe(kind, [name]);
            }
            Step::Reconnect => self.reconnect(),
        }
        self.pump();
    }

    fn settle(&mut self) {
        self.offer();
        self.pump();
        while self.deliver_down() || self.deliver_up(false) {}
        assert!(self.server.is_idle());
    }

    fn assert_converged(&self) {
        for kind in [Kind::Cluster, Kind::Listener, Kind::Endpoints, Kind::Route] {
            let names = self.names.get(&kind).cloned().unwrap_or_default();
            let target = self.world.target.get(&kind).cloned().unwrap_or_default();
            let held: BTreeMap<Arc<str>, u64> =
                self.client.held(kind).map(|(name, version)| (name.clone(), number(version))).collect();
            let wanted: BTreeMap<Arc<str>, u64> =
                target.into_iter().filter(|(name, _)| kind.is_whole_set() || names.contains(name)).collect();
            // This protocol cannot say that a named resource is gone.
            let held = held.into_iter().filter(|(name, _)| kind.is_whole_set() || wanted.contains_key(name));
            assert_converged(kind, &held.collect(), &wanted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn delta_converges_and_a_returning_client_is_sent_nothing(steps in steps()) {
        let mut pair = Delta::new();
        for step in &steps {
            pair.step(step);
        }
        pair.settle();
        pair.assert_converged();
        pair.sent = 0;
        pair.settle();
        prop_assert_eq!(pair.sent, 0);
        let refused = pair.world.target.values().flat_map(|set| set.values()).any(|version| is_bad(*version));
        pair.reconnect();
        pair.settle();
        pair.assert_converged();
        prop_assert!(refused || pair.sent == 0 || missing(&pair), "{} resources for a client that has them", pair.sent);
    }

    #[test]
    fn state_of_the_world_converges_and_a_returning_client_is_sent_nothing(steps in steps()) {
        let mut pair = Sotw::new();
        for step in &steps {
            pair.step(step);
        }
        pair.settle();
        pair.assert_converged();
        let refused = pair.world.target.values().flat_map(|set| set.values()).any(|version| is_bad(*version));
        // The first return may bring resources: the version in force is older than the client's last choice of names.
        pair.reconnect();
        pair.settle();
        pair.assert_converged();
        pair.sent = 0;
        pair.reconnect();
        pair.settle();
        prop_assert!(refused || pair.sent == 0, "{} resources for a client that has them", pair.sent);
    }

    /// Snapshots in which every route's cluster exists, delivered in order, answers as late as can be.
    #[test]
    fn no_route_without_its_cluster(snapshots in proptest::collection::vec(
        (proptest::collection::btree_map(0..4u8, 0..5u8, 0..4), 0..6usize), 1..20)
    ) {
        let mut server = delta::Server::new();
        let mut client = delta::Client::new();
        client.subscribe_all(Kind::Cluster);
        client.subscribe(Kind::Route, (0..4).map(|at| format!("r{at}")));
        client.connected();
        let (mut up, mut down) = (VecDeque::new(), VecDeque::new());
        up.extend(client.drain());
        let resource = |kind, name: String, version: String| Arc::new(Resource::received(kind, name, version, Bytes::new()));
        let deliver = |server: &mut delta::Server, client: &mut delta::Client, up: &mut VecDeque<_>, down: &mut VecDeque<_>| {
            if let Some(response) = down.pop_front() {
                let accepted = client.received(response);
                client.ack(&accepted);
                let clusters: BTreeSet<&str> = client.held(Kind::Cluster).map(|(name, _)| &**name).collect();
                for (route, cluster) in client.held(Kind::Route) {
                    assert!(clusters.contains(&**cluster), "{route} needs {cluster}, there are {clusters:?}");
                }
                up.extend(client.drain());
            } else if let Some(request) = up.pop_front() {
                server.received(&request);
                down.extend(server.drain());
            } else {
                return false;
            }
            true
        };
        for (routes, deliveries) in &snapshots {
            let clusters: BTreeSet<String> = routes.values().map(|cluster| format!("c{cluster}")).collect();
            let clusters: Vec<_> = clusters.into_iter().map(|c| resource(Kind::Cluster, c, "1".into())).collect();
            let routes: Vec<_> =
                routes.iter().map(|(r, c)| resource(Kind::Route, format!("r{r}"), format!("c{c}"))).collect();
            server.offer(Kind::Cluster, &clusters);
            server.offer(Kind::Route, &routes);
            down.extend(server.drain());
            for _ in 0..*deliveries {
                deliver(&mut server, &mut client, &mut up, &mut down);
            }
        }
        while deliver(&mut server, &mut client, &mut up, &mut down) {}
        let (routes, _) = snapshots.last().unwrap();
        let held: BTreeMap<String, String> =
            client.held(Kind::Route).map(|(r, c)| (r.to_string(), c.to_string())).collect();
        prop_assert_eq!(held, routes.iter().map(|(r, c)| (format!("r{r}"), format!("c{c}"))).collect());
        prop_assert_eq!(client.held(Kind::Cluster).count(), routes.values().collect::<BTreeSet<_>>().len());
    }
}

/// Whether the client names something that does not exist: the answer to that is no resource, but it is one.
fn missing(pair: &Delta) -> bool {
    NAMED.into_iter().any(|kind| {
        let target = pair.world.target.get(&kind);
        pair.client.names(kind).any(|name| target.is_none_or(|target| !target.contains_key(name)))
    })
}
