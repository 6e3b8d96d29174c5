//! The socket of the webhooks: HTTPS, as the API server asks.
//!
//! In: requests of the API server. Out: AdmissionReviews. Paths are Istio's: `/inject` and `/validate` with what follows them,
//! and `/ready`.
//! Started by `webhook::start`; ends with its drain watch.

use std::sync::Arc;
use std::time::Duration;

use base::admin::{self, Request, Response, Routes};
use base::drain::Watch;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::review::{Asked, Verdict};
use super::state::Injection;
use super::stats::Validations;
use super::validate;

/// A TLS handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What is answered under which path.
pub(super) fn routes(injection: Option<Injection>, validations: &Validations) -> Routes {
    let mut routes = Routes::new()
        .get("/ready", "200 once pods can be answered about", async |_| Response::text("ready\n"));
    for path in ["/validate", "/validate/*"] {
        let counted = validations.clone();
        routes = routes.post(path, "judges objects of the mesh", move |request: Request| {
            let answer = reviewed(&request, |asked| validate::review(asked, &counted));
            async move { answer }
        });
    }
    if let Some(injection) = injection {
        for path in ["/inject", "/inject/*"] {
            let injection = injection.clone();
            routes = routes.post(path, "gives pods a proxy", move |request: Request| {
                let answer = reviewed(&request, |asked| injection.review(asked, &request.path));
                async move { answer }
            });
        }
    }
    routes
}

/// One review.
fn reviewed(request: &Request, verdict: impl Fn(&Asked) -> Verdict) -> Response {
    let kind = request.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind.is_none_or(|kind| !kind.starts_with("application/json")) {
        let text = "invalid Content-Type, want `application/json`\n";
        return Response::status(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    match Asked::read(&request.body) {
        Ok(asked) => Response::json(asked.answer(&verdict(&asked)).to_string()),
        Err(error) => Response::status(StatusCode::BAD_REQUEST, error + "\n"),
    }
}

/// Serves until drained. `tls` gives the acceptor of the moment, so that certificates can rotate.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Arc<Routes>,
    tls: impl Fn() -> TlsAcceptor + Send + 'static,
    mut drain: Watch,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.graceful() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: give connections time to end.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // The certificate is that of xDS, the protocol is not.
        let mut config = (**tls().config()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (routes, drain) = (routes.clone(), drain.clone());
        base::task::spawn("webhook connection", async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => admin::connection(stream, Some(peer), routes, drain).await,
                Ok(Err(error)) => tracing::info!(%peer, %error, "TLS handshake failed"),
                Err(_) => {}
            }
        });
    }
}
