//! SDS on a Unix socket: our certificate for a stock Envoy that runs in our place (`--agent-only`).
//!
//! In: the secrets of the keeper. Out: `envoy.service.secret.v3.SecretDiscoveryService`, state of the world (what
//! Envoy's SDS clusters speak) and single fetches; a rotation is pushed to every stream. The socket's file mode lets
//! only this user in, since keys travel on it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use hyper_util::rt::TokioIo;
use prost::{Message, Name};
use tokio::net::UnixListener;
use tonic::codegen::Service;
use tonic::{Request, Response, Status, Streaming};
use wire::Kind;
use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use wire::pb::envoy::service::discovery::v3 as discovery;
use wire::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use wire::pb::google::protobuf::Any;

use super::Health;
use crate::tls::{SecretSource, Secrets};

/// Serves for ever. `health` rings at each rotation.
pub async fn serve(path: &Path, secrets: Secrets, health: base::Live<Health>) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A file of an earlier run would make the bind fail.
    drop(std::fs::remove_file(path));
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    tracing::info!(path = %path.display(), "serving SDS");
    loop {
        let (stream, _) = listener.accept().await?;
        let sds = SecretDiscoveryServiceServer::new(Sds { secrets: secrets.clone(), health: health.clone() });
        base::task::spawn("sds-connection", async move {
            let service = hyper::service::service_fn(move |request| sds.clone().call(request));
            let served = wire::transport::http2().serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "SDS connection ended");
            }
        });
    }
}

struct Sds {
    secrets: Secrets,
    health: base::Live<Health>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SecretDiscoveryService for Sds {
    type DeltaSecretsStream = Answers<discovery::DeltaDiscoveryResponse>;
    type StreamSecretsStream = Answers<discovery::DiscoveryResponse>;

    async fn delta_secrets(
        &self,
        _: Request<Streaming<discovery::DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Err(Status::unimplemented("SDS here is state of the world: api_type GRPC"))
    }

    async fn stream_secrets(
        &self,
        request: Request<Streaming<discovery::DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let state = Answering {
            requests: request.into_inner(),
            rotations: self.health.reader(),
            secrets: self.secrets.clone(),
            names: Vec::new(),
            sent: 0,
        };
        Ok(Response::new(Box::pin(stream::unfold(state, Answering::next))))
    }

    async fn fetch_secrets(
        &self,
        request: Request<discovery::DiscoveryRequest>,
    ) -> Result<Response<discovery::DiscoveryResponse>, Status> {
        Ok(Response::new(answer(&self.secrets, &request.into_inner().resource_names)))
    }
}

/// One stream.
struct Answering {
    requests: Streaming<discovery::DiscoveryRequest>,
    rotations: base::Reader<Health>,
    secrets: Secrets,
    names: Vec<String>,
    /// Version of the secrets in the last answer; 0: none was sent.
    sent: u64,
}

impl Answering {
    async fn next(mut self) -> Option<(Result<discovery::DiscoveryResponse, Status>, Self)> {
        loop {
            tokio::select! {
                request = self.requests.next() => match request {
                    Some(Ok(request)) => {
                        if let Some(error) = &request.error_detail {
                            tracing::warn!(error = error.message, "Envoy refused our certificate");
                        }
                        if request.resource_names != self.names {
                            self.names = request.resource_names;
                            self.sent = 0;
                        }
                    }
                    Some(Err(_)) | None => return None,
                },
                _ = self.rotations.changed() => {}
            }
            let version = self.secrets.version();
            let answer = answer(&self.secrets, &self.names);
            // Before the first certificate there is nothing to say; Envoy waits.
            if version != self.sent && !answer.resources.is_empty() {
                self.sent = version;
                return Some((Ok(answer), self));
            }
        }
    }
}

fn answer(secrets: &Secrets, names: &[String]) -> discovery::DiscoveryResponse {
    let version = secrets.version().to_string();
    let resources = names
        .iter()
        .filter_map(|name| secret(secrets, name))
        .map(|secret| Any { type_url: Kind::Secret.type_url().into(), value: secret.encode_to_vec() });
    discovery::DiscoveryResponse {
        version_info: version.clone(),
        resources: resources.collect(),
        type_url: format!("type.googleapis.com/{}", tls::Secret::full_name()),
        nonce: version,
        ..Default::default()
    }
}

fn secret(secrets: &Secrets, name: &str) -> Option<tls::Secret> {
    let known = secrets.get(&SecretSource::Identity(name.into())).ok()?;
    let inline = |bytes: &[u8]| core::DataSource {
        specifier: Some(core::data_source::Specifier::InlineBytes(bytes.to_vec())),
        ..Default::default()
    };
    let kind = match &known.certificate {
        Some(material) => tls::secret::Type::TlsCertificate(tls::TlsCertificate {
            certificate_chain: Some(inline(&known.pem)),
            private_key: Some(inline(material.key_pem())),
            ..Default::default()
        }),
        None => tls::secret::Type::ValidationContext(tls::CertificateValidationContext {
            trusted_ca: Some(inline(&known.pem)),
            ..Default::default()
        }),
    };
    Some(tls::Secret { name: name.into(), r#type: Some(kind) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Secret;
    use wire::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;

    fn pair(name: &str) -> Secret {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        Secret::key_pair(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn chain_of(answer: &discovery::DiscoveryResponse) -> Vec<u8> {
        let secret = tls::Secret::decode(answer.resources[0].value.as_slice()).unwrap();
        let Some(tls::secret::Type::TlsCertificate(certificate)) = secret.r#type else {
            panic!("no certificate")
        };
        assert!(certificate.private_key.is_some());
        match certificate.certificate_chain.unwrap().specifier {
            Some(core::data_source::Specifier::InlineBytes(bytes)) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_stream_gets_the_certificate_and_its_rotation() {
        let folder = std::env::temp_dir().join(format!("sds-{}", std::process::id()));
        let path = folder.join("socket");
        let secrets = Secrets::new();
        let health = base::Live::new(Health::default());
        let own = SecretSource::Identity("default".into());
        let (first, second) = (pair("one"), pair("two"));
        let wanted = [first.pem.clone(), second.pem.clone()];
        secrets.put(own.clone(), first);
        let server = {
            let (path, secrets, health) = (path.clone(), secrets.clone(), health.clone());
            tokio::spawn(async move { serve(&path, secrets, health).await })
        };
        let stream = loop {
            match tokio::net::UnixStream::connect(&path).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        };
        let origin = http::Uri::from_static("http://sds");
        let channel = wire::transport::Channel::connect(stream, &origin).await.unwrap();
        let mut client = SecretDiscoveryServiceClient::with_origin(channel, origin);
        let (ask, asked) = tokio::sync::mpsc::unbounded_channel();
        let requests = stream::unfold(asked, |mut asked| async { Some((asked.recv().await?, asked)) });
        let request =
            discovery::DiscoveryRequest { resource_names: vec!["default".into()], ..Default::default() };
        ask.send(request).unwrap();
        let mut answers = client.stream_secrets(requests).await.unwrap().into_inner();
        assert_eq!(chain_of(&answers.next().await.unwrap().unwrap()), wanted[0]);
        secrets.put(own, second);
        health.set(Health::default());
        assert_eq!(chain_of(&answers.next().await.unwrap().unwrap()), wanted[1]);
        server.abort();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
