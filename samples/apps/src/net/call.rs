//! The client under every caller. In: a URL, a request, how to dial. Out: an answer, or a `CallError` that
//! says what went wrong in curl's words and exit statuses. Names go through the system's resolver; a proxy
//! named by `http_proxy` is used for plain HTTP. A `Link` is one connection and can carry many requests.

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("URL malformed: {0}")]
    Url(String),
    #[error("Could not resolve host: {0}")]
    Resolve(String),
    #[error("Failed to connect to {0}: {1}")]
    Connect(String, io::Error),
    #[error("Timed out after {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("TLS connect error: {0}")]
    Tls(String),
    #[error("SSL certificate problem: {0}")]
    Certificate(String),
    #[error("Empty reply from server")]
    Empty,
    #[error("Recv failure: {0}")]
    Recv(String),
    #[error("{0}")]
    Protocol(String),
}

impl CallError {
    /// curl's exit status for the same failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Url(_) => 3,
            Self::Resolve(_) => 6,
            Self::Connect(..) => 7,
            Self::Timeout(_) => 28,
            Self::Tls(_) => 35,
            Self::Certificate(_) => 60,
            Self::Empty => 52,
            Self::Recv(_) => 56,
            Self::Protocol(_) => 1,
        }
    }

    /// One word for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Resolve(_) => "resolve",
            Self::Connect(..) => "connect",
            Self::Timeout(_) => "timeout",
            Self::Tls(_) | Self::Certificate(_) => "tls",
            Self::Empty => "empty",
            Self::Recv(_) => "reset",
            Self::Protocol(_) => "protocol",
        }
    }

    fn from_hyper(cause: &hyper::Error) -> Self {
        let mut source = cause.source();
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return match io.kind() {
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                        Self::Recv("Connection reset by peer".to_owned())
                    }
                    _ => Self::Recv(io.to_string()),
                };
            }
            source = inner.source();
        }
        if cause.is_incomplete_message() || cause.is_canceled() || cause.is_closed() {
            return Self::Empty;
        }
        Self::Protocol(cause.source().map_or_else(|| cause.to_string(), |why| format!("{cause}: {why}")))
    }
}

/// `--resolve HOST:PORT:ADDRESS`: where a name leads, whatever the resolver says.
#[derive(Clone, Debug)]
pub struct Pin {
    host: String,
    port: u16,
    ip: IpAddr,
}

impl std::str::FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let (Some(host), Some(port), Some(ip)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("expected HOST:PORT:ADDRESS".to_owned());
        };
        let port = port.parse().map_err(|_| format!("'{port}' is not a port"))?;
        let ip = ip.trim_matches(['[', ']']);
        let ip = ip.parse().map_err(|_| format!("'{ip}' is not an IP address"))?;
        Ok(Self { host: host.to_owned(), port, ip })
    }
}

/// How to reach a server.
#[derive(Clone, Default)]
pub struct Dialing {
    /// Longest wait for a connection (and handshake); none: as the system does.
    pub connect_timeout: Option<Duration>,
    /// Speak HTTP/2 without asking first (on plain TCP), or if the handshake agrees (on TLS).
    pub http2: bool,
    /// For `https`; none: such URLs are refused.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Names with fixed addresses.
    pub pins: Vec<Pin>,
    /// HTTP proxy as `host:port`.
    pub proxy: Option<String>,
    /// Hosts that are called without the proxy: a name, or a domain with a dot in front.
    pub no_proxy: Vec<String>,
}

impl Dialing {
    /// As the environment says: `http_proxy` (or HTTP_PROXY) and `no_proxy` (or NO_PROXY).
    pub fn from_env() -> Self {
        let either = |lower: &str, upper: &str| {
            let value = std::env::var(lower).or_else(|_| std::env::var(upper)).unwrap_or_default();
            Some(value).filter(|value| !value.is_empty())
        };
        let proxy = either("http_proxy", "HTTP_PROXY");
        let no_proxy = either("no_proxy", "NO_PROXY").unwrap_or_default();
        Self {
            proxy: proxy.map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned()),
            no_proxy: no_proxy
                .split(',')
                .map(|host| host.trim().to_owned())
                .filter(|h| !h.is_empty())
                .collect(),
            ..Self::default()
        }
    }

    /// One GET within `limit`, the body included.
    pub async fn get(
        &self,
        url: &str,
        headers: &HeaderMap,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let work = async {
            let uri: Uri = url.parse().map_err(|_| CallError::Url(url.to_owned()))?;
            let mut request = Request::new(Full::default());
            *request.headers_mut() = headers.clone();
            *request.uri_mut() = uri.clone();
            let reply = self.connect(&uri).await?.send(request).await?;
            let status = reply.status();
            Ok((status, read_all(reply.into_body()).await?))
        };
        timeout(limit, work).await.unwrap_or(Err(CallError::Timeout(limit)))
    }

    /// Connects for `url`: resolves, dials each address in turn, does the TLS and HTTP handshakes.
    pub async fn connect(&self, url: &Uri) -> Result<Link, CallError> {
        let limit = self.connect_timeout.unwrap_or(Duration::from_secs(120));
        timeout(limit, self.link(url)).await.unwrap_or(Err(CallError::Timeout(limit)))
    }

    async fn link(&self, url: &Uri) -> Result<Link, CallError> {
        let bad = || CallError::Url(url.to_string());
        let host = url.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
        let secure = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(bad()),
        };
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        if !secure && let Some(proxy) = self.proxy_for(&host) {
            let (host, port) = proxy.rsplit_once(':').unwrap_or((proxy, "80"));
            let stream = dial(host, port.parse().map_err(|_| bad())?, &[]).await?;
            let remote = stream.peer_addr().map_err(|cause| CallError::Connect(host.to_owned(), cause))?;
            return Link::start(Box::new(stream), false, remote, true).await;
        }
        let stream = dial(&host, port, &self.pins).await?;
        let remote = stream.peer_addr().map_err(|cause| CallError::Connect(host.clone(), cause))?;
        if !secure {
            return Link::start(Box::new(stream), self.http2, remote, false).await;
        }
        let Some(config) = self.tls.clone() else {
            return Err(CallError::Tls("this client speaks no TLS".to_owned()));
        };
        let name = ServerName::try_from(host).map_err(|cause| CallError::Tls(cause.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = connector.connect(name, stream).await.map_err(|cause| tls_failed(&cause))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Link::start(Box::new(stream), http2, remote, false).await
    }

    fn proxy_for(&self, host: &str) -> Option<&str> {
        let direct = self.no_proxy.iter().any(|rule| {
            rule == "*"
                || rule == host
                || rule
                    .strip_prefix('.')
                    .is_some_and(|domain| host == domain || host.ends_with(rule.as_str()))
        });
        self.proxy.as_deref().filter(|_| !direct)
    }
}

fn tls_failed(cause: &io::Error) -> CallError {
    match cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => CallError::Certificate(format!("{why:?}")),
        Some(other) => CallError::Tls(other.to_string()),
        None if cause.kind() == io::ErrorKind::ConnectionReset => {
            CallError::Tls("Connection reset by peer".to_owned())
        }
        None => CallError::Tls(cause.to_string()),
    }
}

/// Dials `host`, each of its addresses in turn.
async fn dial(host: &str, port: u16, pins: &[Pin]) -> Result<TcpStream, CallError> {
    let pinned = pins.iter().find(|pin| pin.host.eq_ignore_ascii_case(host) && pin.port == port);
    let found: Vec<SocketAddr> = match (pinned, host.parse::<IpAddr>()) {
        (Some(pin), _) => vec![SocketAddr::new(pin.ip, port)],
        (None, Ok(ip)) => vec![SocketAddr::new(ip, port)],
        (None, Err(_)) => match tokio::net::lookup_host((host, port)).await {
            Ok(found) => found.collect(),
            Err(_) => return Err(CallError::Resolve(host.to_owned())),
        },
    };
    let mut last = None;
    for address in found {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Small requests must not wait for the peer's acknowledgement.
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            Err(cause) => last = Some(cause),
        }
    }
    match last {
        Some(cause) => Err(CallError::Connect(format!("{host} port {port}"), cause)),
        None => Err(CallError::Resolve(host.to_owned())),
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

/// One connection to a server.
pub struct Link {
    sender: Sender,
    through_proxy: bool,
    /// The address that was reached.
    pub remote: SocketAddr,
}

impl Link {
    async fn start(
        stream: Box<dyn Stream>,
        http2: bool,
        remote: SocketAddr,
        through_proxy: bool,
    ) -> Result<Self, CallError> {
        let io = TokioIo::new(stream);
        let sender = if http2 {
            let builder = http2::Builder::new(TokioExecutor::new());
            let (sender, driver) =
                builder.handshake(io).await.map_err(|cause| CallError::from_hyper(&cause))?;
            // Errors of the connection reach whoever waits for an answer.
            tokio::spawn(async move { drop(driver.await) });
            Sender::H2(sender)
        } else {
            let (sender, driver) =
                http1::handshake(io).await.map_err(|cause| CallError::from_hyper(&cause))?;
            tokio::spawn(async move { drop(driver.with_upgrades().await) });
            Sender::H1(sender)
        };
        Ok(Self { sender, through_proxy, remote })
    }

    /// Sends one request with an absolute URL; its form and the `host` header are made to fit the connection.
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CallError> {
        match &mut self.sender {
            Sender::H1(sender) => {
                let uri = request.uri().clone();
                if !request.headers().contains_key(header::HOST) {
                    let host = uri.authority().map(Authority::as_str).unwrap_or_default();
                    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                    let host = HeaderValue::from_str(host).map_err(|_| CallError::Url(uri.to_string()))?;
                    request.headers_mut().insert(header::HOST, host);
                }
                if !self.through_proxy {
                    let path = uri.path_and_query().map_or("/", |path| path.as_str());
                    *request.uri_mut() = path.parse().map_err(|_| CallError::Url(uri.to_string()))?;
                }
                // A connection that is closed by now says so here, not in the middle of the request.
                sender.ready().await.map_err(|cause| CallError::from_hyper(&cause))?;
                sender.send_request(request).await
            }
            Sender::H2(sender) => {
                if let Some(host) = request.headers_mut().remove(header::HOST) {
                    let mut parts = request.uri().clone().into_parts();
                    parts.authority = Authority::try_from(host.as_bytes()).ok();
                    *request.uri_mut() =
                        Uri::from_parts(parts).map_err(|cause| CallError::Url(cause.to_string()))?;
                }
                *request.version_mut() = http::Version::HTTP_2;
                sender.ready().await.map_err(|cause| CallError::from_hyper(&cause))?;
                sender.send_request(request).await
            }
        }
        .map_err(|cause| CallError::from_hyper(&cause))
    }

    /// Whether the server still keeps the connection.
    pub fn open(&self) -> bool {
        match &self.sender {
            Sender::H1(sender) => !sender.is_closed(),
            Sender::H2(sender) => !sender.is_closed(),
        }
    }

    /// Whether it is HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::H2(_))
    }
}

/// Reads a body to its end.
pub async fn read_all(body: Incoming) -> Result<Bytes, CallError> {
    body.collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|cause| CallError::from_hyper(&cause))
}
