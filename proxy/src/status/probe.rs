//! Probes of the application, asked here because plain ones would meet mutual TLS.
//!
//! In: `ISTIO_KUBE_APP_PROBERS`, path -> probe, and a kubelet's request for such a path. Out: what the application says
//! at the pod's address, in the way kubelets ask: any certificate will do, redirects to the same host are followed,
//! others count as success. Called by `ports`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use base::admin::{Request, Response};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use http_body_util::Full;

use super::reach::{Reach, exchange};
use crate::settings::{AppProbe, Check};
use crate::tls::{self, ClientTls, Overrides, Secrets, Versions};

/// More of an answer is of no use to a kubelet.
const LIMIT: usize = 10 << 10;
const MAX_REDIRECTS: usize = 10;

/// The probes by path.
#[derive(Clone)]
pub(super) struct Probes {
    probes: Arc<BTreeMap<String, AppProbe>>,
    reach: Reach,
    /// Our own port, which kubelets name in `Host`.
    status: u16,
}

impl Probes {
    pub(super) fn new(probes: BTreeMap<String, AppProbe>, reach: Reach, status: u16) -> Self {
        Probes { probes: Arc::new(probes), reach, status }
    }

    pub(super) async fn answer(self, request: Request) -> Response {
        let Some(probe) = self.probes.get(&request.path) else {
            let text = format!("app prober config does not exists for {}", request.path);
            return Response::status(StatusCode::BAD_REQUEST, text);
        };
        let work = self.run(probe, &request);
        match tokio::time::timeout(probe.timeout, work).await {
            Ok(Ok((status, body))) => Response { body, ..Response::status(status, "") },
            Ok(Err(error)) => failed(&request.path, &error),
            Err(_) => failed(&request.path, &format!("no answer within {:?}", probe.timeout)),
        }
    }

    async fn run(&self, probe: &AppProbe, request: &Request) -> Result<(StatusCode, Bytes), String> {
        match &probe.check {
            Check::Http { port, path, https, headers } => {
                let headers = self.headers(&request.headers, *port, headers)?;
                let page = Page { port: *port, path: path.clone(), https: *https };
                self.get(page, &headers).await
            }
            Check::Tcp { port } => self.reach.pod(*port).await.map(|_| (StatusCode::OK, Bytes::new())),
            Check::Grpc { port, service } => {
                let (stream, at) = self.reach.pod(*port).await?;
                let agent = request.headers.get(http::header::USER_AGENT);
                wire::health::check(stream, at, service, agent).await.map(|()| (StatusCode::OK, Bytes::new()))
            }
        }
    }

    /// The kubelet's, with the probe's own instead of those of the same name.
    fn headers(&self, asked: &HeaderMap, port: u16, own: &[(String, String)]) -> Result<HeaderMap, String> {
        let mut headers = asked.clone();
        for hop in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(hop);
        }
        let host =
            headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.rsplit_once(':'));
        if let Some((host, asked)) = host
            && asked.parse() == Ok(self.status)
        {
            let real = HeaderValue::from_str(&format!("{host}:{port}")).map_err(|e| e.to_string())?;
            headers.insert(HOST, real);
        }
        let names =
            own.iter().map(|(name, _)| name.parse::<HeaderName>().map_err(|e| format!("{name}: {e}")));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        for name in &names {
            headers.remove(name);
        }
        for (name, (_, value)) in names.into_iter().zip(own) {
            headers.append(name, HeaderValue::from_str(value).map_err(|e| e.to_string())?);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(headers)
    }

    async fn get(&self, mut page: Page, headers: &HeaderMap) -> Result<(StatusCode, Bytes), String> {
        for _ in 0..MAX_REDIRECTS {
            let (answer, at) = self.ask(&page, headers).await?;
            if !answer.status().is_redirection() {
                return Ok((answer.status(), answer.into_body()));
            }
            match page.follow(answer.status(), answer.headers(), at) {
                Some(next) => page = next,
                // To somebody else, or nowhere: the application is well. A redirect itself would need a location.
                None => return Ok((StatusCode::OK, Bytes::new())),
            }
        }
        Err(format!("stopped after {MAX_REDIRECTS} redirects"))
    }

    async fn ask(
        &self,
        page: &Page,
        headers: &HeaderMap,
    ) -> Result<(http::Response<Bytes>, SocketAddr), String> {
        let (stream, at) = self.reach.pod(page.port).await?;
        let mut request = http::Request::get(&page.path)
            .body(Full::default())
            .map_err(|e| format!("{}: {e}", page.path))?;
        request.headers_mut().clone_from(headers);
        let host = at.to_string();
        let answer = if page.https {
            let named = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let name = named.rsplit_once(':').map_or(named, |(name, _)| name);
            // An address is no server name.
            let name =
                Some(name).filter(|name| name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err());
            let overrides = Overrides { sni: name, alpn: None };
            let connected = tls::connect(&Secrets::new(), &ANYBODY, overrides, stream).await;
            let (stream, _) = connected.map_err(|e| format!("{at}: {e}"))?;
            exchange(stream, &host, request, LIMIT).await?
        } else {
            exchange(stream, &host, request, LIMIT).await?
        };
        Ok((answer, at))
    }
}

/// No certificate is checked: the question is whether the application is well, not who it is.
static ANYBODY: LazyLock<Arc<ClientTls>> = LazyLock::new(|| {
    Arc::new(ClientTls {
        certificates: Vec::new(),
        validation: None,
        sni: "".into(),
        auto_sni: false,
        alpn: Vec::new(),
        versions: Versions { min: 12, max: 13 },
    })
});

fn failed(path: &str, error: &str) -> Response {
    tracing::debug!(path, error, "a probe of the application failed");
    Response::status(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    port: u16,
    path: String,
    https: bool,
}

impl Page {
    /// Where a redirect leads, if that is this application; `at` is where it was asked.
    fn follow(&self, status: StatusCode, headers: &HeaderMap, at: SocketAddr) -> Option<Page> {
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = headers.get(LOCATION)?.to_str().ok()?;
        let uri: Uri = location.parse().ok()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let Some(host) = uri.host() else {
            let path = match path.strip_prefix('/') {
                Some(_) => path.to_owned(),
                None => format!("{}/{path}", self.path.rsplit_once('/').map_or("", |(folder, _)| folder)),
            };
            return Some(Page { path, ..self.clone() });
        };
        let same = host.trim_matches(['[', ']']).parse() == Ok(at.ip());
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        same.then(|| Page { port, path: path.to_owned(), https })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_to_the_same_host_are_followed() {
        let page = Page { port: 8080, path: "/a/b".into(), https: false };
        let at = "10.0.0.7:8080".parse().unwrap();
        let to = |status: u16, location: &str| {
            let headers = [(LOCATION, HeaderValue::from_str(location).unwrap())].into_iter().collect();
            page.follow(StatusCode::from_u16(status).unwrap(), &headers, at)
        };
        let like = |path: &str| Some(Page { path: path.into(), ..page.clone() });
        assert_eq!(to(302, "/c?d=1"), like("/c?d=1"));
        assert_eq!(
            to(308, "https://10.0.0.7:8443/c"),
            Some(Page { port: 8443, path: "/c".into(), https: true })
        );
        assert_eq!(to(302, "http://example.com/c"), None);
        assert_eq!(to(304, "/c"), None);
        assert_eq!(page.follow(StatusCode::FOUND, &HeaderMap::new(), at), None);
    }
}
