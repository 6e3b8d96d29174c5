//! Httpbin: answers with what it was asked, or as the path says. In: any request. Out: JSON of the shape the
//! documented tasks pick fields from (header values are lists, header names in capitals). Most security and
//! ingress tasks call it. `echo` holds the answers about the request, `make` those made to order, `stream` those
//! that take their time. `/ws-echo` answers any `Upgrade` with 101 and echoes the bytes that follow.

mod echo;
mod make;
mod stream;

use crate::net::{self, App, Call, Listen, Reply, empty, ended, pod_name, serve};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Largest request body.
const LARGEST: usize = 32 * 1024 * 1024;
/// Longest delay; longer ones are cut.
const LONGEST: Duration = Duration::from_secs(60);

/// Flags of `httpbin`.
#[derive(Args)]
pub struct HttpbinArgs {
    /// TCP port to listen on
    #[arg(env = "PORT", default_value_t = 8080)]
    port: u16,
    #[command(flatten)]
    listen: Listen,
}

/// The service.
pub struct Httpbin {
    /// Name of the pod, said by `/hostname`.
    pub pod: String,
}

/// A request with its body read.
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    peer: IpAddr,
    secure: bool,
    body: Bytes,
}

impl Asked {
    /// The query's pairs.
    fn query(&self) -> Vec<(String, String)> {
        net::pairs(self.uri.query().unwrap_or_default())
    }

    /// One value of the query.
    fn param(&self, name: &str) -> Option<String> {
        self.query().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl App for Httpbin {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        if call.request.uri().path() == "/ws-echo" {
            return upgrade(call);
        }
        let secure = call.tls.is_some();
        let (Parts { method, uri, headers, .. }, body) = call.request.into_parts();
        let body = match Limited::new(body, LARGEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(cause) => return wrong(&format!("body: {cause}")),
        };
        let asked = Asked { method, uri, headers, peer: call.peer.ip(), secure, body };
        self.route(&asked).await
    }
}

impl Httpbin {
    async fn route(&self, asked: &Asked) -> Reply {
        let path = asked.uri.path().to_owned();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if let Some(allowed) = only(parts.first().copied().unwrap_or_default())
            && !allowed.contains(&asked.method)
        {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        match parts.as_slice() {
            [] => make::index(),
            ["get"] | ["head"] => echo::short(asked),
            ["post" | "put" | "patch" | "delete"] | ["anything", ..] => echo::long(asked),
            ["headers"] => echo::headers(asked),
            ["ip"] => echo::ip(asked),
            ["user-agent"] => echo::user_agent(asked),
            ["cookies"] => echo::cookies(asked),
            ["dump", "request"] => echo::dump(asked),
            ["cookies", what @ ("set" | "delete")] => make::set_cookies(asked, *what == "delete"),
            ["hostname"] => net::pretty(StatusCode::OK, &json!({"hostname": self.pod})),
            ["health" | "healthz"] => net::text(StatusCode::OK, "ok\n"),
            ["status", codes] => make::status(codes),
            ["unstable"] => make::unstable(asked),
            ["response-headers"] => make::response_headers(asked),
            ["redirect" | "relative-redirect", n] => make::redirect(n, None),
            ["absolute-redirect", n] => make::redirect(n, Some(echo::origin_of(asked))),
            ["redirect-to"] => make::redirect_to(asked),
            ["cache"] => make::cache(asked, echo::short(asked)),
            ["cache", seconds] => make::max_age(seconds, echo::short(asked)),
            ["etag", tag] => make::etag(asked, tag),
            ["basic-auth", user, password] => make::basic_auth(asked, user, password),
            ["bearer"] => make::bearer(asked),
            ["base64", text] => make::base64(text),
            ["uuid"] => make::uuid(),
            ["bytes", n] => make::bytes(n),
            ["html"] => make::page(),
            ["json"] => make::document(),
            ["xml"] => make::xml(),
            ["robots.txt"] => net::text(StatusCode::OK, "User-agent: *\nDisallow: /deny\n"),
            ["deny"] => net::text(StatusCode::OK, "Robots are not wanted here.\n"),
            ["delay", time] => stream::delay(asked, time).await,
            ["stream", n] => stream::lines(asked, n),
            ["stream-bytes", n] => stream::chunks(n),
            ["drip"] => stream::drip(asked).await,
            ["trailers"] => stream::trailers(asked),
            _ => net::text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }
}

/// The methods of a path that takes only some.
fn only(first: &str) -> Option<&'static [Method]> {
    const READ: &[Method] = &[Method::GET, Method::HEAD, Method::OPTIONS];
    match first {
        "get" | "head" | "ip" | "user-agent" | "cookies" | "html" | "json" | "xml" | "uuid" => Some(READ),
        "post" => Some(&[Method::POST]),
        "put" => Some(&[Method::PUT]),
        "patch" => Some(&[Method::PATCH]),
        "delete" => Some(&[Method::DELETE]),
        _ => None,
    }
}

fn wrong(why: &str) -> Reply {
    net::pretty(StatusCode::BAD_REQUEST, &json!({"status_code": 400, "error": "Bad Request", "detail": why}))
}

/// 101, then every byte back, until either side ends.
fn upgrade(call: Call) -> Reply {
    let Some(protocol) = call.request.headers().get(header::UPGRADE).cloned() else {
        let mut reply = net::text(StatusCode::UPGRADE_REQUIRED, "this path wants an Upgrade header\n");
        reply.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("echo"));
        return reply;
    };
    let coming = hyper::upgrade::on(call.request);
    tokio::spawn(async move {
        let Ok(upgraded) = coming.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        // The peer's going away is how this ends.
        drop(tokio::io::copy(&mut read, &mut write).await);
        drop(tokio::io::AsyncWriteExt::shutdown(&mut write).await);
    });
    let mut reply = empty(StatusCode::SWITCHING_PROTOCOLS);
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    reply.headers_mut().insert(header::UPGRADE, protocol);
    reply
}

/// Serves until the process is asked to end.
pub async fn run(args: HttpbinArgs) -> anyhow::Result<()> {
    let listener = args.listen.on(args.port).await?;
    serve(listener, Httpbin { pod: pod_name() }, ended()).await
}
