//! `istio.v1.auth.IstioCertificateService`: how a workload gets its certificate.
//!
//! In: a proxy's signing request with its credential in the call's metadata. Out: a certificate chain. Messages,
//! client and server glue are written by hand, since the service has one call. Citadel implements [`Ca`], the
//! proxy calls [`CaClient::create_certificate`].

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use envoy_types::pb::google::protobuf::Struct;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic_prost::ProstCodec;

/// Path of the one call.
pub const CREATE_CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/// Full name of the service.
pub const SERVICE: &str = "istio.v1.auth.IstioCertificateService";

/// When to renew a certificate: after `ratio` of its life (Istio's `SECRET_GRACE_PERIOD_RATIO`, 0.5), moved by up to
/// `jitter` of its life either way (`SECRET_GRACE_PERIOD_RATIO_JITTER`, 0.01), so that a mesh that was started at once
/// does not renew at once. `random` is in 0..1.
pub fn renew_at(
    not_before: SystemTime,
    not_after: SystemTime,
    (ratio, jitter): (f64, f64),
    random: f64,
) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    let part = ratio + jitter * (2.0 * random - 1.0);
    not_before + life.mul_f64(part.clamp(0.0, 1.0))
}

/// What a workload asks for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IstioCertificateRequest {
    /// PKCS#10 in PEM. Only its key and its signature count.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// Wished lifetime in seconds; 0 means the CA's default.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
    /// `CertSigner`, `ImpersonatedIdentity`.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<Struct>,
}

/// What it gets.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IstioCertificateResponse {
    /// PEM, leaf first, root last.
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}

/// The calling side, over any gRPC channel.
#[derive(Clone, Debug)]
pub struct CaClient<T> {
    inner: tonic::client::Grpc<T>,
}

impl<T> CaClient<T>
where
    T: GrpcService<Body>,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    /// A client on `channel`.
    pub fn new(channel: T) -> Self {
        CaClient { inner: tonic::client::Grpc::new(channel) }
    }

    /// As [`CaClient::new`] with the scheme and authority that requests carry.
    pub fn with_origin(channel: T, origin: http::Uri) -> Self {
        CaClient { inner: tonic::client::Grpc::with_origin(channel, origin) }
    }

    /// Sends the request; `token` goes into `authorization: Bearer`, `cluster_id` into `clusterid`.
    pub async fn create_certificate(
        &mut self,
        request: IstioCertificateRequest,
        token: Option<&str>,
        cluster_id: &str,
    ) -> Result<IstioCertificateResponse, tonic::Status> {
        let mut request = tonic::Request::new(request);
        let mut set = |key: &'static str, value: String| {
            let value = value.parse().map_err(|_| {
                tonic::Status::invalid_argument(format!("{key} has characters that a header cannot carry"))
            })?;
            request.metadata_mut().insert(key, value);
            Ok::<_, tonic::Status>(())
        };
        if let Some(token) = token {
            set("authorization", format!("Bearer {}", token.trim()))?;
        }
        if !cluster_id.is_empty() {
            set("clusterid", cluster_id.to_owned())?;
        }
        self.inner.ready().await.map_err(|e| tonic::Status::unavailable(e.into().to_string()))?;
        let path = http::uri::PathAndQuery::from_static(CREATE_CERTIFICATE);
        Ok(self.inner.unary(request, path, ProstCodec::default()).await?.into_inner())
    }
}

/// The serving side.
pub trait Ca: Send + Sync + 'static {
    /// Answers one request. The caller's credential is in the request's metadata and extensions.
    fn create_certificate(
        &self,
        request: tonic::Request<IstioCertificateRequest>,
    ) -> impl Future<Output = Result<IstioCertificateResponse, tonic::Status>> + Send;
}

/// A `Service` of http requests that answers the one call and says `UNIMPLEMENTED` to any other.
pub struct CaServer<C>(Arc<C>);

impl<C> Clone for CaServer<C> {
    fn clone(&self) -> Self {
        CaServer(self.0.clone())
    }
}

impl<C: Ca> CaServer<C> {
    /// Serves `ca`.
    pub fn new(ca: Arc<C>) -> Self {
        CaServer(ca)
    }

    /// Answers one HTTP/2 request.
    pub async fn answer<B>(&self, request: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        if request.uri().path() != CREATE_CERTIFICATE {
            let path = request.uri().path();
            return tonic::Status::unimplemented(format!("unknown method {path}")).into_http();
        }
        let call = Call(self.0.clone());
        tonic::server::Grpc::new(ProstCodec::default()).unary(call, request).await
    }
}

struct Call<C>(Arc<C>);

impl<C: Ca> tonic::server::UnaryService<IstioCertificateRequest> for Call<C> {
    type Response = IstioCertificateResponse;
    type Future =
        Pin<Box<dyn Future<Output = Result<tonic::Response<Self::Response>, tonic::Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<IstioCertificateRequest>) -> Self::Future {
        let ca = self.0.clone();
        Box::pin(async move { ca.create_certificate(request).await.map(tonic::Response::new) })
    }
}

impl<C, B> tower_service::Service<http::Request<B>> for CaServer<C>
where
    C: Ca,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.answer(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn renewal_is_at_half_life_give_or_take() {
        let start = SystemTime::UNIX_EPOCH;
        let at = |random| renew_at(start, start + Duration::from_secs(1000), (0.5, 0.01), random);
        assert_eq!(at(0.5), start + Duration::from_secs(500));
        assert_eq!(at(0.0), start + Duration::from_secs(490));
        assert_eq!(at(1.0), start + Duration::from_secs(510));
        // Not after before: at once.
        assert_eq!(renew_at(start, start - Duration::from_secs(1), (0.5, 0.0), 0.0), start);
    }
}
