//! How a server is reached. In: a URL. Out: a `Link` to it, or a `CallError`. Names go through the system's
//! resolver unless pinned; a proxy named by `http_proxy` is used for plain HTTP. Called by productpage, reviews,
//! details and all the clients.

use super::failure::CallError;
use super::link::{Link, read_all};
use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::Full;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

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
