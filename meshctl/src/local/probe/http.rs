//! HTTP and HTTPS probes.
//!
//! In: a connection to the container and what to ask. Out: whether the status is from 200 to 399. Over TLS any
//! certificate will do, as for a kubelet: the question is whether the application is well, not who it is.

use std::net::SocketAddr;
use std::sync::Arc;

use api::core::HttpGetAction;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// More of an answer is not read than this many bytes: its first line is all that counts.
const ENOUGH: usize = 4096;

/// Asks on a new connection to `at`.
pub(super) async fn get(stream: TcpStream, get: &HttpGetAction, at: SocketAddr) -> Result<(), String> {
    if !get.scheme.eq_ignore_ascii_case("HTTPS") {
        return question(stream, get, at).await;
    }
    let header = get.http_headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
    let host = header.and_then(|header| header.value.split(':').next());
    let name = host.and_then(|host| ServerName::try_from(host.to_owned()).ok());
    let name = name.unwrap_or_else(|| ServerName::IpAddress(at.ip().into()));
    let tls = TlsConnector::from(Arc::new(anybody()?)).connect(name, stream).await;
    question(tls.map_err(|error| format!("TLS to {at}: {error}"))?, get, at).await
}

async fn question(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    get: &HttpGetAction,
    at: SocketAddr,
) -> Result<(), String> {
    let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
    let mut head = format!("GET {path} HTTP/1.1\r\n");
    let has = |name: &str| get.http_headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    for (name, value) in
        [("Host", at.to_string()), ("User-Agent", AGENT.to_owned()), ("Accept", "*/*".to_owned())]
    {
        if !has(name) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for header in &get.http_headers {
        head.push_str(&format!("{}: {}\r\n", header.name, header.value));
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    while !answer.windows(2).any(|pair| pair == b"\r\n") && answer.len() < ENOUGH {
        match stream.read(&mut piece).await {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
            Err(error) => return Err(error.to_string()),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let status = line.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok());
    match status {
        Some(200..400) => Ok(()),
        Some(status) => Err(format!("GET {path}: status {status}")),
        None => Err(format!("GET {path}: the answer is not HTTP")),
    }
}

/// As kubelets say who they are; some applications answer it differently.
pub(super) const AGENT: &str = "kube-probe/1.36";

fn anybody() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth())
}

/// Accepts every certificate; the signature over the handshake is still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
