//! Connections to the control plane: one HTTP/2 connection, plain or TLS, that gRPC runs on.
//!
//! In: an address, roots, our certificate if it is wanted. Out: a [`Channel`] for ADS streams and tonic's clients. Called by the
//! ADS client and by the identity keeper. The server is checked by host name against the mesh's roots, since it has
//! a certificate with DNS names. Sockets carry the mark that exempts them from interception.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use wire::transport::Channel;

use crate::config::{BindSource, Cluster, EndpointAddress};
use crate::io::Raw;
use crate::tls::{self, Secret, SecretSource, Secrets};
use crate::upstream::{DialPlan, Dialer, TcpDialer};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What we show of ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// TLS that shows only the server; the call carries a token.
    ServerOnly,
    /// Mutual TLS where we have a certificate, else as above.
    Mutual,
}

/// How the control plane is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    Plain,
    /// TLS, the server's certificate checked against this PEM file (or our own roots once known).
    Tls {
        roots: PathBuf,
        /// The name in its certificate, where that is not the one that is dialled (`ISTIOD_SAN`).
        name: Option<String>,
    },
    /// As the cluster says.
    Cluster,
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
#[derive(Debug, Clone)]
pub enum Target {
    /// `HOST:PORT`
    Name(Arc<str>),
    Pipe(Arc<str>),
    /// An endpoint of a static cluster, as it is at the moment of connecting.
    Cluster(Arc<Cluster>),
}

impl Target {
    /// From `HOST:PORT` or `unix:PATH`.
    pub fn of(text: &str) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Target::Pipe(path.trim_start_matches("//").into()),
            None => Target::Name(text.into()),
        }
    }
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
            Target::Cluster(cluster) => &cluster.name,
        }
    }

    async fn connect_unlimited(&self, credential: Credential) -> Result<Channel, String> {
        let wire = self.dial().await?;
        match &self.security {
            Security::Plain => self.handshake(wire, false).await,
            Security::Tls { roots, name } => {
                let config = self.client_config(roots, credential)?;
                let host = self.name().rsplit_once(':').map_or(self.name(), |(host, _)| host);
                let host = name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
                let name =
                    ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no host name"))?;
                let stream = tokio_rustls::TlsConnector::from(config).connect(name, wire).await;
                let stream = stream.map_err(|e| format!("{}: TLS: {e}", self.name()))?;
                self.handshake(stream, true).await
            }
            Security::Cluster => {
                let Target::Cluster(cluster) = &self.address else {
                    return self.handshake(wire, false).await;
                };
                let Some(settings) = &cluster.settings.tls else { return self.handshake(wire, false).await };
                let alpn = [Arc::from("h2")];
                let overrides = tls::Overrides { sni: None, alpn: Some(&alpn) };
                let connected = tls::connect(&self.secrets, settings, overrides, wire).await;
                let (stream, _) = connected.map_err(|e| format!("{}: {e}", self.name()))?;
                self.handshake(stream, true).await
            }
        }
    }

    async fn dial(&self) -> Result<Raw, String> {
        let dial = async |address: EndpointAddress| {
            let plan = DialPlan { address, bind: BindSource::default(), borrowed: None, keepalive: None };
            self.dialer.dial(&plan).await.map_err(|e| e.to_string())
        };
        let name = match &self.address {
            Target::Pipe(path) => return dial(EndpointAddress::Pipe(path.clone())).await,
            Target::Cluster(cluster) => {
                let set = cluster.endpoints.load();
                let endpoints: Vec<_> = set.all().cloned().collect();
                let mut last = format!("cluster {} has no endpoint", cluster.name);
                for endpoint in endpoints {
                    match dial(endpoint.address.clone()).await {
                        Ok(wire) => return Ok(wire),
                        Err(error) => last = format!("{} ({:?}): {error}", cluster.name, endpoint.address),
                    }
                }
                return Err(last);
            }
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
        let pem = std::fs::read(roots).map_err(|e| {
            format!("{}: {e} (the mesh's roots, from the config map istio-ca-root-cert)", roots.display())
        });
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
        let authority = match &self.address {
            Target::Name(name) => name,
            Target::Pipe(_) | Target::Cluster(_) => "localhost",
        };
        let scheme = if secure { "https" } else { "http" };
        let origin = http::Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        let origin = origin.map_err(|e| format!("{authority}: {e}"))?;
        Channel::connect(io, &origin).await.map_err(|status| format!("{}: {}", self.name(), status.message()))
    }
}
