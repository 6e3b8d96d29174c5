//! A client of a pilot's port 15012, as bare as can be: TLS, one signing request, one stream of xDS. For tests of who may
//! do what, where a whole proxy would hide the answer.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tonic::Status;
use wire::csr::{CaClient, IstioCertificateRequest};
use wire::delta::{Client, Response};
use wire::transport::{Channel, DeltaStream};
use wire::{Kind, Node};

/// A certificate with its key.
pub struct Own {
    /// PEM each: leaf, the way up, roots.
    pub chain: Vec<String>,
    key: KeyPair,
}

/// Who calls.
#[derive(Default)]
pub struct Caller<'a> {
    /// PEM.
    pub roots: String,
    /// Name that pilot's certificate must have.
    pub host: String,
    pub token: Option<&'a str>,
    pub cluster: &'a str,
    pub certificate: Option<&'a Own>,
}

impl Caller<'_> {
    /// Connects.
    ///
    /// # Errors
    /// No connection, or pilot's certificate is not good for the roots and the name.
    pub async fn connect(&self, to: SocketAddr) -> Result<Channel, String> {
        let tell = |error: &dyn std::fmt::Display| error.to_string();
        let mut store = RootCertStore::empty();
        for root in certificates(&self.roots) {
            store.add(root).map_err(|e| tell(&e))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| tell(&e))?
            .with_root_certificates(store);
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = own.chain.iter().flat_map(|pem| certificates(pem)).collect();
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
                builder.with_client_auth_cert(chain, key).map_err(|e| tell(&e))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(self.host.clone()).map_err(|e| tell(&e))?;
        let stream = TcpStream::connect(to).await.map_err(|e| tell(&e))?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let origin = format!("https://{}:15012", self.host).parse().map_err(|e| tell(&e))?;
        Channel::connect(stream.map_err(|e| tell(&e))?, &origin).await.map_err(|e| tell(&e))
    }

    /// A certificate of the CA.
    ///
    /// # Errors
    /// The CA's answer.
    pub async fn certificate(&self, to: SocketAddr) -> Result<Own, Status> {
        let channel = self.connect(to).await.map_err(Status::unavailable)?;
        let key = KeyPair::generate().expect("a key can be made");
        let csr = CertificateParams::default().serialize_request(&key).and_then(|csr| csr.pem());
        let csr = csr.expect("a request can be made");
        let request = IstioCertificateRequest { csr, validity_duration: 3600, metadata: None };
        let origin = channel.origin();
        let mut client = CaClient::with_origin(channel, origin);
        let answer = client.create_certificate(request, self.token, self.cluster).await?;
        Ok(Own { chain: answer.cert_chain, key })
    }

    /// The first response of a delta stream that asks for clusters as this node.
    ///
    /// # Errors
    /// How the stream ended.
    pub async fn clusters(&self, to: SocketAddr, node: &str) -> Result<Response, Status> {
        let mut follower = self.follow(to, node).await?;
        follower.stream.next().await
    }

    /// A delta stream that asks for clusters as this node.
    ///
    /// # Errors
    /// There is no connection.
    pub async fn follow(&self, to: SocketAddr, node: &str) -> Result<Follower, Status> {
        let channel = self.connect(to).await.map_err(Status::unavailable)?;
        let mut headers = HeaderMap::new();
        if let Some(token) = self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token is plain text");
            headers.insert("authorization", value);
        }
        let mut stream = channel.delta(headers);
        let mut client = Client::new();
        client.subscribe_all(Kind::Cluster);
        client.connected();
        let node = Node::new(node.parse().expect("a node id"));
        stream.flush(&mut client, &node.to_proto());
        Ok(Follower { stream, client, node })
    }
}

/// A stream that is read on.
pub struct Follower {
    stream: DeltaStream,
    client: Client,
    node: Node,
}

impl Follower {
    /// Names of what the next response brings and takes away, which is acknowledged.
    ///
    /// # Errors
    /// How the stream ended.
    pub async fn next(&mut self) -> Result<(Vec<String>, Vec<String>), Status> {
        let accepted = self.client.received(self.stream.next().await?);
        let added = accepted.resources.iter().map(|resource| resource.name.to_string()).collect();
        let removed = accepted.removed.iter().map(ToString::to_string).collect();
        self.client.ack(&accepted);
        self.stream.flush(&mut self.client, &self.node.to_proto());
        Ok((added, removed))
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
}
