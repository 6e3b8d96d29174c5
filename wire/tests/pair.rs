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

/// What both protocols have, so that one pair of machines can be driven by the same steps.
trait Protocol {
    type Client;
    type Server;
    type Request: Clone;
    type Response;
    /// Whether it can say that a named resource is gone.
    const TELLS_REMOVALS: bool;

    /// A client that is interested in everything but named kinds.
    fn client() -> Self::Client;
    fn server() -> Self::Server;
    fn connection(client: &mut Self::Client, open: bool);
    fn subscribe(client: &mut Self::Client, kind: Kind, name: Arc<str>);
    fn unsubscribe(client: &mut Self::Client, kind: Kind, name: Arc<str>);
    fn requests(client: &mut Self::Client) -> Vec<Self::Request>;
    fn offer(server: &mut Self::Server, kind: Kind, set: &[Arc<Resource>]);
    fn received(server: &mut Self::Server, request: &Self::Request) -> Vec<Report>;
    fn responses(server: &mut Self::Server) -> Vec<Self::Response>;
    fn is_idle(server: &Self::Server) -> bool;
    /// Kind and number of changes.
    fn about(response: &Self::Response) -> (Kind, usize);
    /// The client takes a response and refuses the bad versions in it.
    fn apply(client: &mut Self::Client, response: Self::Response);
    fn held(client: &Self::Client, kind: Kind) -> BTreeMap<Arc<str>, u64>;
}

macro_rules! protocol {
    ($protocol:ident, $tells_removals:literal, $follow:expr, $changes:expr) => {
        impl Protocol for $protocol::Server {
            type Client = $protocol::Client;
            type Server = $protocol::Server;
            type Request = $protocol::Request;
            type Response = $protocol::Response;
            const TELLS_REMOVALS: bool = $tells_removals;

            fn client() -> Self::Client {
                let mut client = $protocol::Client::new();
                client.subscribe_all(Kind::Cluster);
                client.subscribe_all(Kind::Listener);
                $follow(&mut client);
                client
            }
            fn server() -> Self::Server {
                $protocol::Server::new()
            }
            fn connection(client: &mut Self::Client, open: bool) {
                if open { client.connected() } else { client.disconnected() }
            }
            fn subscribe(client: &mut Self::Client, kind: Kind, name: Arc<str>) {
                client.subscribe(kind, [name]);
            }
            fn unsubscribe(client: &mut Self::Client, kind: Kind, name: Arc<str>) {
                client.unsubscribe(kind, [name]);
            }
            fn requests(client: &mut Self::Client) -> Vec<Self::Request> {
                client.drain()
            }
            fn offer(server: &mut Self::Server, kind: Kind, set: &[Arc<Resource>]) {
                server.offer(kind, set);
            }
            fn received(server: &mut Self::Server, request: &Self::Request) -> Vec<Report> {
                server.received(request)
            }
            fn responses(server: &mut Self::Server) -> Vec<Self::Response> {
                server.drain()
            }
            fn is_idle(server: &Self::Server) -> bool {
                server.is_idle()
            }
            fn about(response: &Self::Response) -> (Kind, usize) {
                (response.kind, $changes(response))
            }
            fn apply(client: &mut Self::Client, response: Self::Response) {
                let accepted = client.received(response);
                match rejects(&accepted.resources) {
                    none if none.is_empty() => client.ack(&accepted),
                    some => client.nack(&accepted, &some),
                }
            }
            fn held(client: &Self::Client, kind: Kind) -> BTreeMap<Arc<str>, u64> {
                client.held(kind).map(|(name, version)| (name.clone(), number(version))).collect()
            }
        }
    };
}

protocol!(
    delta,
    true,
    |client: &mut delta::Client| client.follow(Kind::VirtualHost),
    |response: &delta::Response| { response.resources.len() + response.removed.len() }
);
protocol!(sotw, false, |_: &mut sotw::Client| {}, |response: &sotw::Response| response.resources.len());

/// A client and a server, and what is on its way between them.
struct Pair<P: Protocol> {
    world: World,
    server: P::Server,
    client: P::Client,
    up: VecDeque<P::Request>,
    down: VecDeque<P::Response>,
    unanswered: BTreeSet<Kind>,
    /// What the client has asked for by name.
    names: BTreeMap<Kind, BTreeSet<Arc<str>>>,
    sent: usize,
}

impl<P: Protocol> Pair<P> {
    fn new() -> Self {
        let mut pair = Pair {
            world: World::default(),
            server: P::server(),
            client: P::client(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            unanswered: BTreeSet::new(),
            names: BTreeMap::new(),
            sent: 0,
        };
        pair.reconnect();
        pair
    }

    /// The stream is lost with everything on it; the client opens another.
    fn reconnect(&mut self) {
        P::connection(&mut self.client, false);
        self.server = P::server();
        self.up.clear();
        self.down.clear();
        self.unanswered.clear();
        self.offer();
        P::connection(&mut self.client, true);
        self.pump();
    }

    fn offer(&mut self) {
        for kind in KINDS {
            P::offer(&mut self.server, kind, &self.world.set(kind));
        }
    }

    fn pump(&mut self) {
        self.up.extend(P::requests(&mut self.client));
        for response in P::responses(&mut self.server) {
            let (kind, changes) = P::about(&response);
            assert!(self.unanswered.insert(kind), "two {kind} responses in flight");
            self.sent += changes;
            self.down.push_back(response);
        }
    }

    /// The server gets the next request, and gets it again later if it is kept.
    fn deliver_up(&mut self, keep: bool) -> bool {
        let next = if keep { self.up.front().cloned() } else { self.up.pop_front() };
        let Some(request) = next else { return false };
        for report in P::received(&mut self.server, &request) {
            if let Report::Ack { kind, .. } | Report::Nack { kind, .. } = report {
                assert!(self.unanswered.remove(&kind), "{kind} was answered and not asked");
            }
        }
        self.pump();
        true
    }

    fn deliver_down(&mut self) -> bool {
        let Some(response) = self.down.pop_front() else { return false };
        let (kind, _) = P::about(&response);
        let before = P::held(&self.client, kind);
        P::apply(&mut self.client, response);
        for (name, version) in P::held(&self.client, kind) {
            assert!(before.get(&name).is_none_or(|old| *old <= version), "{kind} {name} went back");
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
                P::subscribe(&mut self.client, kind, name);
            }
            Step::Unsubscribe(kind, at) => {
                let (kind, name) = (NAMED[kind], name(NAMED[kind], at));
                self.names.entry(kind).or_default().remove(&name);
                P::unsubscribe(&mut self.client, kind, name);
            }
            Step::Reconnect => self.reconnect(),
        }
        self.pump();
    }

    /// Delivers until nothing is on its way.
    fn settle(&mut self) {
        self.offer();
        self.pump();
        while self.deliver_down() || self.deliver_up(false) {}
        assert!(P::is_idle(&self.server));
    }

    /// What the client should have of a kind.
    fn wanted(&self, kind: Kind) -> BTreeMap<Arc<str>, u64> {
        let asked = |kind: Kind, name: &str| self.names.get(&kind).is_some_and(|names| names.contains(name));
        let exists = |kind: Kind, name: &str| {
            self.world.target.get(&kind).is_some_and(|target| target.contains_key(name))
        };
        let target = self.world.target.get(&kind).cloned().unwrap_or_default();
        let wants = |name: &str| match kind {
            Kind::VirtualHost => {
                let parent = kind.parent_of(name).unwrap();
                asked(Kind::Route, parent) && exists(Kind::Route, parent)
            }
            _ => kind.is_whole_set() || asked(kind, name),
        };
        target.into_iter().filter(|(name, _)| wants(name)).collect()
    }

    fn assert_converged(&self) {
        for kind in KINDS.into_iter().filter(|kind| P::TELLS_REMOVALS || *kind != Kind::VirtualHost) {
            let wanted = self.wanted(kind);
            let mut held = P::held(&self.client, kind);
            if !P::TELLS_REMOVALS && !kind.is_whole_set() {
                held.retain(|name, _| wanted.contains_key(name));
            }
            assert_converged(kind, &held, &wanted);
        }
    }

    /// Some version of the world is one that the client refuses.
    fn has_refused(&self) -> bool {
        self.world.target.values().flat_map(|set| set.values()).any(|version| is_bad(*version))
    }

    /// Whether the client names something that does not exist: the answer to that is no resource, but it is one.
    fn names_nothing(&self) -> bool {
        self.names.iter().any(|(kind, names)| {
            let target = self.world.target.get(kind);
            names.iter().any(|name| target.is_none_or(|target| !target.contains_key(name)))
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn delta_converges_and_a_returning_client_is_sent_nothing(steps in steps()) {
        let mut pair = Pair::<delta::Server>::new();
        for step in &steps {
            pair.step(step);
        }
        pair.settle();
        pair.assert_converged();
        pair.sent = 0;
        pair.settle();
        prop_assert_eq!(pair.sent, 0);
        pair.reconnect();
        pair.settle();
        pair.assert_converged();
        prop_assert!(pair.has_refused() || pair.sent == 0 || pair.names_nothing(), "{} resources for a client that has them", pair.sent);
    }

    #[test]
    fn state_of_the_world_converges_and_a_returning_client_is_sent_nothing(steps in steps()) {
        let mut pair = Pair::<sotw::Server>::new();
        for step in &steps {
            pair.step(step);
        }
        pair.settle();
        pair.assert_converged();
        // The first return may bring resources: the version in force is older than the client's last choice of names.
        pair.reconnect();
        pair.settle();
        pair.assert_converged();
        pair.sent = 0;
        pair.reconnect();
        pair.settle();
        prop_assert!(pair.has_refused() || pair.sent == 0, "{} resources for a client that has them", pair.sent);
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
