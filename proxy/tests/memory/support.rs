//! A worker with a hand-made Config, origins over pipes, a client, and a recorder of facts.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};
use proxy::config::*;
use proxy::dice::Dice;
use proxy::fail::Failure;
use proxy::filter::Filter;
use proxy::h1::{Conn as H1, Frame, Length, Limits, RequestLine};
use proxy::http::Served;
use proxy::io::{Raw, Stream, Wire};
use proxy::observe::TlsFacts;
use proxy::observe::{Conn, Facts, Peer, TcpFacts};
use proxy::tls::Secrets;
use proxy::upstream::{DialPlan, Dialer, Dialing};
use proxy::worker::{Moment, Node, Observer, Parts, Worker};
use tokio::io::DuplexStream;

pub const PIPE: usize = 64 * 1024;

/// Runs a test on a worker's kind of runtime, with time that moves only when all wait.
pub fn run<F: Future<Output = ()>>(test: F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, test);
}

/// What was told of one request.
#[derive(Debug, Clone)]
pub struct Told {
    pub status: u16,
    pub failures: Vec<Failure>,
    pub details: String,
    pub attempts: u32,
    pub bytes: (u64, u64),
    pub messages: (u64, u64),
    pub grpc_status: Option<u16>,
    pub protocol: Version,
    /// The client, by its certificate.
    pub peer: Option<String>,
}

/// When, bytes received and sent, failures.
pub type ToldOfConnection = (Moment, u64, u64, Vec<Failure>);

#[derive(Default)]
pub struct Recorder {
    pub requests: RefCell<Vec<Told>>,
    pub connections: RefCell<Vec<ToldOfConnection>>,
    pub frames: RefCell<Vec<String>>,
}

impl Observer for Recorder {
    fn request(&self, _: &HttpChain, facts: &Facts) {
        self.requests.borrow_mut().push(Told {
            status: facts.status,
            failures: facts.failures.clone(),
            details: facts.details.as_deref().unwrap_or_default().into(),
            attempts: facts.attempts,
            bytes: (facts.bytes_received, facts.bytes_sent),
            messages: (facts.request_messages, facts.response_messages),
            grpc_status: facts.grpc_status,
            protocol: facts.protocol,
            peer: facts.conn.tls.as_ref().and_then(|tls| tls.peer_principal.as_deref().map(str::to_owned)),
        });
    }
    fn connection(&self, _: &TcpChain, facts: &TcpFacts, when: Moment) {
        let told = (when, facts.bytes_received, facts.bytes_sent, facts.failures.clone());
        self.connections.borrow_mut().push(told);
    }
    fn peer_of_headers(&self, id: &[u8], _: &[u8]) -> Option<Arc<Peer>> {
        Some(Arc::new(Peer { workload: String::from_utf8_lossy(id).as_ref().into(), ..Peer::default() }))
    }
    fn peer_of_frame(&self, body: &[u8]) -> Option<Arc<Peer>> {
        let peer = wire::peer::Peer::from_frame(body).ok()?;
        self.frames.borrow_mut().push(peer.id);
        None
    }
}

type Accept = Rc<dyn Fn(DuplexStream)>;

/// Origins by address; addresses that nobody listens on refuse.
#[derive(Default)]
pub struct Net {
    origins: RefCell<HashMap<SocketAddr, Accept>>,
    pub dials: RefCell<Vec<SocketAddr>>,
    /// Every dial takes this long.
    pub latency: Cell<Duration>,
}

impl Net {
    pub fn listen<F, Fut>(&self, address: SocketAddr, accept: F)
    where
        F: Fn(DuplexStream) -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let accept: Accept = Rc::new(move |io| drop(tokio::task::spawn_local(accept(io))));
        self.origins.borrow_mut().insert(address, accept);
    }

    pub fn dials(&self) -> usize {
        self.dials.borrow().len()
    }
}

pub struct MemoryDialer(pub Rc<Net>);

impl Dialer for MemoryDialer {
    fn dial<'a>(&'a self, plan: &'a DialPlan) -> Dialing<'a> {
        Box::pin(async move {
            let EndpointAddress::Ip(address) = plan.address else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            self.0.dials.borrow_mut().push(address);
            if !self.0.latency.get().is_zero() {
                tokio::time::sleep(self.0.latency.get()).await;
            }
            let Some(accept) = self.0.origins.borrow().get(&address).cloned() else {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused"));
            };
            let (near, far) = tokio::io::duplex(PIPE);
            accept(far);
            Ok(Raw::Memory(near))
        })
    }
}

pub fn addr(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

/// What a test changes before the mesh is made.
pub struct Setup {
    pub settings: ClusterSettings,
    pub endpoints: Vec<SocketAddr>,
    pub forward: Forward,
    pub rule: fn(&mut Rule),
    pub host: VirtualHost,
    pub http: HttpChain,
    /// max connections, pending, requests, retries.
    pub limits: [u32; 4],
    pub action: Option<Action>,
    /// Endpoints of the second cluster, `shadow`.
    pub shadow: Vec<SocketAddr>,
    /// Limits of the process.
    pub overload: proxy::overload::Plan,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            settings: ClusterSettings::default(),
            endpoints: vec![addr(1)],
            forward: forward(),
            rule: |_| {},
            host: VirtualHost { name: "all".into(), domains: vec!["*".into()], ..Default::default() },
            http: chain(),
            limits: [u32::MAX; 4],
            action: None,
            shadow: Vec::new(),
            overload: Default::default(),
        }
    }
}

pub fn forward() -> Forward {
    Forward {
        target: Target::Cluster(ClusterSlot(0)),
        timeout: Duration::ZERO,
        idle_timeout: None,
        retry: None,
        rewrite: Rewrite::default(),
        mirrors: Vec::new(),
        hash: Vec::new(),
        upgrades: Vec::new(),
        cluster_not_found: StatusCode::SERVICE_UNAVAILABLE,
        grpc_timeout_max: None,
    }
}

pub fn retry(on: RetryOn, retries: u32) -> Option<Arc<RetryPolicy>> {
    Some(Arc::new(RetryPolicy {
        on,
        statuses: vec![503],
        retries,
        per_try_timeout: Duration::ZERO,
        per_try_idle_timeout: Duration::ZERO,
        backoff_base: Duration::from_millis(25),
        backoff_max: Duration::from_millis(250),
        other_host: true,
        host_attempts: 5,
        retry_other_priorities: false,
    }))
}

pub fn chain() -> HttpChain {
    HttpChain {
        stat_prefix: "test".into(),
        codec: Codec::Auto,
        routes: RouteSource::Named(RouteSlot(0)),
        route_name: "test".into(),
        filters: vec![Filter::Fault(None), Filter::Cors],
        suppress_envoy_headers: false,
        access_logs: Vec::new(),
        tracing: None,
        server_name: "istio-envoy".into(),
        server_pass_through: false,
        use_remote_address: false,
        xff_trusted_hops: 0,
        skip_xff_append: false,
        forward_client_cert: ForwardClientCert::default(),
        generate_request_id: true,
        preserve_request_id: false,
        paths: PathRules { normalize: true, ..PathRules::default() },
        underscores: Underscores::default(),
        proxy_continue: true,
        strip_host_port: false,
        accept_http10: false,
        upgrades: vec!["websocket".into()],
        stream_idle_timeout: Duration::from_secs(300),
        idle_timeout: Duration::from_secs(3600),
        request_timeout: Duration::ZERO,
        request_headers_timeout: Duration::ZERO,
        drain_timeout: Duration::from_secs(5),
        max_connection_duration: Duration::ZERO,
        delayed_close: Duration::from_secs(1),
        max_request_head: 60 * 1024,
        max_request_headers: 100,
        h2: H2Options::default(),
    }
}

/// One worker, with the other end of everything.
pub struct Mesh {
    pub worker: Rc<Worker>,
    pub net: Rc<Net>,
    pub told: Rc<Recorder>,
    pub live: base::Live<Config>,
    pub drain: base::drain::Trigger,
    pub cluster: Arc<Cluster>,
    http: Arc<HttpChain>,
}

pub fn cluster(name: &str, id: u64, settings: ClusterSettings, endpoints: &[SocketAddr]) -> Cluster {
    let one = |address: &SocketAddr| Arc::new(Endpoint::bare(EndpointAddress::Ip(*address), None));
    let group =
        LocalityGroup { locality: "".into(), weight: 1, endpoints: endpoints.iter().map(one).collect() };
    let set = EndpointSet { priorities: vec![vec![group]], overprovisioning: 140, ..Default::default() };
    Cluster {
        name: name.into(),
        id,
        settings,
        endpoints: Arc::new(base::Live::new(set)),
        limits: Arc::default(),
        outliers: Arc::default(),
        version: "1".into(),
    }
}

pub fn mesh(setup: Setup) -> Mesh {
    mesh_with(setup, Secrets::new(), Node::default())
}

pub fn mesh_with(setup: Setup, secrets: Secrets, node: Node) -> Mesh {
    let main = Arc::new(cluster("main", 1, setup.settings, &setup.endpoints));
    main.limits.adopt(setup.limits, None);
    let shadow = Arc::new(cluster("shadow", 2, ClusterSettings::default(), &setup.shadow));
    let mut rule = Rule {
        name: "r".into(),
        path: PathMatch::Prefix { text: "/".into(), ignore_case: false },
        headers: Vec::new(),
        query: Vec::new(),
        fraction: None,
        action: setup.action.unwrap_or(Action::Forward(Arc::new(setup.forward))),
        header_ops: HeaderOps::default(),
        fault: None,
        cors: None,
        config: None,
        origin: None,
        operation: None,
    };
    (setup.rule)(&mut rule);
    let mut host = setup.host;
    host.rules = vec![Arc::new(rule)];
    let mut table = RouteTable { name: "test".into(), hosts: vec![Arc::new(host)], ..Default::default() };
    table.index();
    let live = base::Live::new(Config {
        generation: 1,
        routes: vec![Some(Arc::new(table))],
        clusters: vec![Some(main.clone()), Some(shadow), None],
        cluster_names: Arc::new(vec!["main".into(), "shadow".into(), "missing".into()]),
        ..Default::default()
    });
    let net = Rc::new(Net::default());
    let told = Rc::new(Recorder::default());
    let (drain, watch) = base::drain::pair();
    let worker = Worker::new(Parts {
        index: 0,
        config: live.reader(),
        dialer: Rc::new(MemoryDialer(net.clone())),
        secrets,
        observer: told.clone(),
        drain: watch,
        overload: proxy::overload::Overload::new(setup.overload),
        node: Arc::new(node),
        dice: Dice::new(1),
    });
    Mesh { worker, net, told, live, drain, cluster: main, http: Arc::new(setup.http) }
}

pub fn conn() -> Conn {
    Conn {
        id: 1,
        peer: "10.9.9.9:1000".parse().unwrap(),
        local: "10.8.8.8:80".parse().unwrap(),
        direction: Direction::Outbound,
        listener: "test".into(),
        borrowed: None,
        tls: None,
        server_name: None,
        tcp_peer: parking_lot::Mutex::new(None),
        started: std::time::Instant::now(),
    }
}

pub fn served(stream: DuplexStream, app: App, drain: base::drain::Watch) -> Served {
    served_stream(Stream::Plain(Wire::new(Raw::Memory(stream))), app, drain)
}

pub fn served_stream(stream: Stream, app: App, drain: base::drain::Watch) -> Served {
    let chain = Chain {
        name: "test".into(),
        matches: ChainMatch::default(),
        tls: None,
        app,
        tcp_peer_exchange: false,
        handshake_timeout: Duration::ZERO,
        version: 1,
    };
    let listener = Listener {
        name: "test".into(),
        addresses: Vec::new(),
        bind: true,
        transparent: false,
        hand_over: false,
        direction: Direction::Outbound,
        inspect: Inspect::default(),
        inspect_timeout: Duration::ZERO,
        inspect_continue: false,
        chains: Vec::new(),
        default_chain: None,
        access_logs: Vec::new(),
        version: "1".into(),
    };
    Served { stream, conn: Arc::new(conn()), listener: Arc::new(listener), chain: Arc::new(chain), drain }
}

impl Mesh {
    /// A raw connection to the proxy.
    pub fn connect_raw(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(PIPE);
        let served = served(far, App::Http(self.http.clone()), self.drain.watch());
        tokio::task::spawn_local(proxy::http::serve(self.worker.clone(), served, self.http.clone()));
        near
    }

    pub fn connect(&self) -> Client {
        Client(H1::new(Stream::Plain(Wire::new(Raw::Memory(self.connect_raw())))))
    }

    /// Serves a connection whose TLS is done.
    pub async fn serve_stream(&self, stream: Stream, tls: Option<TlsFacts>) {
        let mut served = served_stream(stream, App::Http(self.http.clone()), self.drain.watch());
        served.conn = Arc::new(Conn { tls, ..conn() });
        proxy::http::serve(self.worker.clone(), served, self.http.clone()).await;
    }

    /// The same for TCP.
    pub async fn serve_tcp(&self, stream: Stream, tls: Option<TlsFacts>, exchange: bool) {
        let chain = Arc::new(TcpChain {
            stat_prefix: "test".into(),
            targets: vec![(ClusterSlot(0), 1)],
            idle_timeout: Duration::from_secs(100),
            access_logs: Vec::new(),
            stats: true,
            sni_cluster: false,
            hash_source_ip: false,
        });
        let mut served = served_stream(stream, App::Tcp(chain.clone()), self.drain.watch());
        served.conn = Arc::new(Conn { tls, ..conn() });
        if exchange && let Some(chain) = Arc::get_mut(&mut served.chain) {
            chain.tcp_peer_exchange = true;
        }
        proxy::tcp::serve(self.worker.clone(), served, chain).await;
    }

    /// The last request's record.
    pub fn last(&self) -> Told {
        self.told.requests.borrow().last().expect("a request was told").clone()
    }
}

/// An HTTP/1.1 client.
pub struct Client(pub H1);

#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    pub trailers: Option<HeaderMap>,
}

impl Client {
    pub async fn get(&mut self, path: &str) -> Got {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let length = if body.is_empty() { Length::None } else { Length::Fixed(body.len() as u64) };
        self.start(&method, path, headers, length);
        let mut body = Bytes::copy_from_slice(body.as_bytes());
        if !body.is_empty() {
            poll_fn(|cx| self.0.poll_data(cx, &mut body)).await.unwrap();
        }
        poll_fn(|cx| self.0.poll_finish(cx, None)).await.unwrap();
        poll_fn(|cx| self.0.poll_flush(cx)).await.unwrap();
        self.receive(&method).await
    }

    pub fn start(&mut self, method: &Method, path: &str, headers: &[(&str, &str)], length: Length) {
        self.0.write_request(RequestLine { method, target: path, host: "svc" }, &map(headers), length, None);
    }

    pub async fn flush(&mut self) {
        poll_fn(|cx| self.0.poll_flush(cx)).await.unwrap();
    }

    pub async fn receive(&mut self, method: &Method) -> Got {
        let head = poll_fn(|cx| self.0.poll_response(cx, &Limits::default(), method)).await.unwrap();
        let (body, trailers) = read_body(&mut self.0).await.unwrap();
        Got { status: head.status.as_u16(), headers: head.headers, body, trailers }
    }

    /// Resolves when the proxy ends the connection.
    pub async fn closed(&mut self) {
        let next = poll_fn(|cx| self.0.poll_response(cx, &Limits::default(), &Method::GET)).await;
        assert!(matches!(next, Err(proxy::h1::Error::Closed)), "{next:?}");
    }
}

pub fn map(headers: &[(&str, &str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| {
            (http::HeaderName::try_from(*name).unwrap(), http::HeaderValue::try_from(*value).unwrap())
        })
        .collect()
}

pub async fn read_body(conn: &mut H1) -> Result<(String, Option<HeaderMap>), proxy::h1::Error> {
    let (mut body, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|cx| conn.poll_frame(cx)).await? {
        match frame {
            Frame::Data(data) => body.extend_from_slice(&data),
            Frame::Trailers(map) => trailers = Some(map),
        }
    }
    Ok((String::from_utf8(body).unwrap(), trailers))
}

/// A request as an origin got it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub host: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// An HTTP/1.1 origin: answers each request with what `answer` says.
pub fn origin<F, Fut>(
    answer: F,
) -> impl Fn(DuplexStream) -> std::pin::Pin<Box<dyn Future<Output = ()>>> + 'static
where
    F: Fn(Seen) -> Fut + 'static,
    Fut: Future<Output = Answer> + 'static,
{
    let answer = Rc::new(answer);
    move |io| {
        let answer = answer.clone();
        Box::pin(async move {
            let mut conn = H1::new(Stream::Plain(Wire::new(Raw::Memory(io))));
            while let Ok(Some(request)) = poll_fn(|cx| conn.poll_request(cx, &Limits::default())).await {
                let Ok((body, _)) = read_body(&mut conn).await else { return };
                let seen = Seen {
                    method: request.method,
                    path: String::from_utf8_lossy(&request.path).into(),
                    host: String::from_utf8_lossy(&request.authority).into(),
                    headers: request.headers,
                    body,
                };
                match answer(seen).await {
                    Answer::Hang => std::future::pending().await,
                    Answer::Close => return,
                    Answer::Send { status, headers, body, last } => {
                        if last {
                            conn.set_last();
                        }
                        let status = StatusCode::from_u16(status).unwrap();
                        let length = Length::Fixed(body.len() as u64);
                        conn.write_response(status, Version::HTTP_11, &headers, length, None);
                        let mut body = Bytes::from(body);
                        if !body.is_empty() {
                            poll_fn(|cx| conn.poll_data(cx, &mut body)).await.unwrap();
                        }
                        poll_fn(|cx| conn.poll_flush(cx)).await.unwrap();
                        if last {
                            return;
                        }
                    }
                }
            }
        })
    }
}

pub enum Answer {
    Send {
        status: u16,
        headers: HeaderMap,
        body: String,
        last: bool,
    },
    /// Never answers.
    Hang,
    /// Ends the connection without an answer.
    Close,
}

pub fn say(status: u16, body: &str) -> Answer {
    Answer::Send { status, headers: HeaderMap::new(), body: body.into(), last: false }
}
