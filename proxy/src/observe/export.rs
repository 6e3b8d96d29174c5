//! Spans to their collector.
//!
//! In: spans from all workers. Out: Zipkin v2 JSON, a list per request, POSTed to an endpoint of the collector's
//! cluster. Runs on the control thread; a collector that does not answer loses spans, never requests. Ends when all
//! workers are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::mpsc;

use super::shard::Exported;
use crate::config::{BindSource, Config, EndpointAddress};
use crate::tls::{Overrides, Secrets};
use crate::upstream::{DialPlan, Dialer, TcpDialer};

/// Spans wait this long for company.
const LINGER: Duration = Duration::from_millis(500);
/// And are sent at once when there are so many.
const BATCH: usize = 200;
/// One POST, connection included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Collector cluster, path, host.
type Target = (Arc<str>, Arc<str>, Arc<str>);

/// Sends spans until the queue closes. Not `Send`: it dials as a worker does.
pub async fn export(
    mut spans: mpsc::Receiver<Exported>,
    config: base::Live<Config>,
    secrets: Secrets,
    dialer: TcpDialer,
) {
    let mut batch = Vec::new();
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < BATCH {
            let more = async { while batch.len() < BATCH && spans.recv_many(&mut batch, BATCH).await > 0 {} };
            // Either enough came or the time is up; both are fine.
            drop(tokio::time::timeout(LINGER, more).await);
        }
        let mut by_target: BTreeMap<Target, Vec<Value>> = BTreeMap::new();
        for span in batch.drain(..) {
            by_target.entry((span.cluster, span.path, span.host)).or_default().push(span.span);
        }
        for (target, spans) in by_target {
            let count = spans.len();
            let body = Value::from(spans).to_string();
            let sent = tokio::time::timeout(TIMEOUT, post(&target, body, &config, &secrets, dialer)).await;
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(cluster = %target.0, error, count, "spans were lost"),
                Err(_) => {
                    tracing::debug!(cluster = %target.0, count, "spans were lost: the collector is too slow")
                }
            }
        }
    }
}

async fn post(
    (cluster, path, host): &Target,
    body: String,
    config: &base::Live<Config>,
    secrets: &Secrets,
    dialer: TcpDialer,
) -> Result<(), String> {
    let now = config.load();
    let slot = now.cluster_slots.get(cluster).copied();
    let cluster = slot.and_then(|slot| now.cluster(slot)).ok_or("the collector's cluster is not known")?;
    let endpoints = cluster.endpoints.load();
    let all = endpoints.priorities.iter().flatten().flat_map(|group| &group.endpoints);
    let endpoint = all.clone().find(|endpoint| endpoint.healthy).or_else(|| all.clone().next());
    let endpoint = endpoint.ok_or("the collector's cluster has no endpoint")?;
    let tls = match endpoint.tls_match.and_then(|at| cluster.settings.tls_matches.get(at)) {
        Some(matched) => matched.tls.clone(),
        None => cluster.settings.tls.clone(),
    };
    let plan = DialPlan {
        address: endpoint.address.clone(),
        bind: BindSource::default(),
        borrowed: None,
        keepalive: None,
    };
    let wire = dialer.dial(&plan).await.map_err(|e| e.to_string())?;
    let authority = match (&**host, &endpoint.address) {
        ("", EndpointAddress::Ip(address)) => address.to_string(),
        (host, _) => host.to_owned(),
    };
    let request = http::Request::post(&**path)
        .header(http::header::HOST, authority)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| e.to_string())?;
    match tls {
        Some(tls) => {
            let alpn = [Arc::from("http/1.1")];
            let overrides = Overrides { sni: None, alpn: Some(&alpn) };
            let (stream, _) =
                crate::tls::connect(secrets, &tls, overrides, wire).await.map_err(|e| e.to_string())?;
            send(stream, request).await
        }
        None => send(wire, request).await,
    }
}

async fn send<I>(io: I, request: http::Request<Full<Bytes>>) -> Result<(), String>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(|e| e.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status();
        response.into_body().collect().await.map_err(|e| e.to_string())?;
        if status.is_success() { Ok(()) } else { Err(format!("the collector answered {status}")) }
    };
    tokio::pin!(exchange);
    tokio::select! {
        done = &mut exchange => done,
        _ = connection => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn spans_are_posted_together() {
        let collector = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = collector.local_addr().unwrap().port();
        let boot = format!(
            "{{static_resources: {{clusters: [{{name: zipkin, type: STATIC, load_assignment: {{cluster_name: zipkin, \
             endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, \
             port_value: {port}}}}}}}}}]}}]}}}}]}}}}"
        );
        let config = base::Live::new(Config::default());
        let mut store = crate::xds::Store::new(config.clone(), Arc::default());
        assert!(store.apply_fixed(crate::xds::boot(&boot, "").unwrap().batch).rejects.is_empty());
        let (spans, received) = mpsc::channel(8);
        for name in ["a", "b"] {
            let span = serde_json::json!({ "name": name });
            let (cluster, path, host) = ("zipkin".into(), "/api/v2/spans".into(), "".into());
            spans.send(Exported { cluster, path, host, span }).await.unwrap();
        }
        // With the last sender gone the exporter sends what it has and ends.
        drop(spans);
        let serve = async {
            let (mut stream, _) = collector.accept().await.unwrap();
            let mut text = Vec::new();
            while !text.ends_with(b"]") {
                assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0);
            }
            stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            String::from_utf8(text).unwrap()
        };
        let exporting = export(received, config, Secrets::new(), TcpDialer { mark: None });
        let ((), text) = tokio::join!(exporting, serve);
        assert!(text.starts_with("POST /api/v2/spans HTTP/1.1\r\n"), "{text}");
        assert!(text.contains(&format!("host: 127.0.0.1:{port}")), "{text}");
        assert!(text.ends_with("[{\"name\":\"a\"},{\"name\":\"b\"}]"), "{text}");
    }
}
