//! Connections to the control plane: one HTTP/2 connection, plain or TLS, that gRPC runs on.
//!
//! In: an address, roots, our certificate if it is wanted. Out: a [`Channel`] that tonic's clients take. Called by the
//! ADS client and by the identity keeper. The server is checked by host name against the mesh's roots, since it has
//! a certificate with DNS names. Sockets carry the mark that exempts them from interception.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;

use crate::config::EndpointAddress;
use crate::io::Wire;
use crate::tls::{self, Secret, SecretSource, Secrets};
use crate::upstream::{DialPlan, Dialer, TcpDialer};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What we show of ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// TLS that shows only the server; the call carries a token.
    ServerOnly,
    /// Mutual TLS where we have a certificate, else as above.
    Mutual,
}

/// How the control plane is reached.
#[derive(Debug, Clone)]
pub enum Security {
    Plain,
    /// TLS, the server's certificate checked against this PEM file (or our own roots once known).
    Tls {
        roots: PathBuf,
    },
    /// As a cluster of a bootstrap file says.
    Settings(Arc<tls::ClientTls>),
}

/// Knows how to connect. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connector {
    /// `HOST:PORT`, or a path for a Unix socket.
    pub address: Target,
    pub security: Security,
    pub secrets: Secrets,
    pub dialer: TcpDialer,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `HOST:PORT`
    Name(Arc<str>),
    Pipe(Arc<str>),
}

/// An open connection.
#[derive(Clone)]
pub struct Channel {
    sender: http2::SendRequest<Body>,
    authority: Arc<str>,
    secure: bool,
}

impl Connector {
    /// Connects. The error says at which step, in words.
    pub async fn connect(&self, credential: Credential) -> Result<Channel, String> {
        let work = self.connect_unlimited(credential);
        match tokio::time::timeout(CONNECT_TIMEOUT, work).await {
            Ok(result) => result,
            Err(_) => Err(format!("{}: no connection within {CONNECT_TIMEOUT:?}", self.name())),
        }
    }

    fn name(&self) -> &str {
        match &self.address {
            Target::Name(name) | Target::Pipe(name) => name,
        }
    }

    async fn connect_unlimited(&self, credential: Credential) -> Result<Channel, String> {
        let wire = self.dial().await?;
        match &self.security {
            Security::Plain => self.handshake(wire, false).await,
            Security::Tls { roots } => {
                let config = self.client_config(roots, credential)?;
                let host = self.name().rsplit_once(':').map_or(self.name(), |(host, _)| host);
                let name =
                    ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no host name"))?;
                let stream = tokio_rustls::TlsConnector::from(config).connect(name, wire).await;
                let stream = stream.map_err(|e| format!("{}: TLS: {e}", self.name()))?;
                self.handshake(stream, true).await
            }
            Security::Settings(settings) => {
                let alpn = [Arc::from("h2")];
                let overrides = tls::Overrides { sni: None, alpn: Some(&alpn) };
                let connected = tls::connect(&self.secrets, settings, overrides, wire).await;
                let (stream, _) = connected.map_err(|e| format!("{}: {e}", self.name()))?;
                self.handshake(stream, true).await
            }
        }
    }

    async fn dial(&self) -> Result<Wire, String> {
        let dial = async |address: EndpointAddress| {
            let plan = DialPlan { address, bind: None, keepalive: None };
            self.dialer.dial(&plan).await.map_err(|e| e.to_string())
        };
        let name = match &self.address {
            Target::Pipe(path) => return dial(EndpointAddress::Pipe(path.clone())).await,
            Target::Name(name) => name,
        };
        let addresses = tokio::net::lookup_host(&**name).await.map_err(|e| format!("{name}: {e}"))?;
        let mut last = format!("{name}: no address");
        for address in addresses.collect::<Vec<SocketAddr>>() {
            match dial(EndpointAddress::Ip(address)).await {
                Ok(wire) => return Ok(wire),
                Err(error) => last = format!("{name} ({address}): {error}"),
            }
        }
        Err(last)
    }

    fn client_config(
        &self,
        roots: &PathBuf,
        credential: Credential,
    ) -> Result<Arc<rustls::ClientConfig>, String> {
        let pem = std::fs::read(roots).map_err(|e| format!("{}: {e}", roots.display()));
        let trusted = match pem.and_then(|pem| Secret::trust(&pem)) {
            Ok(secret) => secret.roots,
            // A file that is gone must not cut us off from a control plane that we already know.
            Err(error) => match self.secrets.roots(&SecretSource::Identity("ROOTCA".into())) {
                Ok(known) => Some(known),
                Err(_) => return Err(error),
            },
        };
        let trusted = trusted.ok_or_else(|| format!("{}: no roots", roots.display()))?;
        let own = match credential {
            Credential::Mutual => self.secrets.certificate(&SecretSource::Identity("default".into())).ok(),
            Credential::ServerOnly => None,
        };
        tls::control_plane(&trusted, own).map_err(|e| e.to_string())
    }

    async fn handshake<I>(&self, io: I, secure: bool) -> Result<Channel, String>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            // A full push of a large mesh is megabytes.
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20);
        let (sender, connection) =
            builder.handshake(TokioIo::new(io)).await.map_err(|e| format!("{}: HTTP/2: {e}", self.name()))?;
        base::task::spawn("control-plane-connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the control plane ended");
            }
        });
        let authority = match &self.address {
            Target::Name(name) => name.clone(),
            Target::Pipe(_) => "localhost".into(),
        };
        Ok(Channel { sender, authority, secure })
    }
}

impl Channel {
    /// Scheme and authority of requests.
    pub fn origin(&self) -> Uri {
        let scheme = if self.secure { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(&*self.authority).path_and_query("/").build();
        uri.unwrap_or_else(|_| Uri::from_static("http://localhost"))
    }
}

type Answer = Pin<Box<dyn Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>> + Send>>;

impl tonic::client::GrpcService<Body> for Channel {
    type ResponseBody = hyper::body::Incoming;
    type Error = hyper::Error;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        Box::pin(self.sender.send_request(request))
    }
}
