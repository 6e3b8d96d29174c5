//! The server: which path goes to which part.
//!
//! In: a request. Out: the answer of `make`, `stream` or `echo`, or what is wrong with the question.

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
pub(super) const LONGEST: Duration = Duration::from_secs(60);

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
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) peer: IpAddr,
    pub(super) secure: bool,
    pub(super) body: Bytes,
}

impl Asked {
    /// The query's pairs.
    pub(super) fn query(&self) -> Vec<(String, String)> {
        net::pairs(self.uri.query().unwrap_or_default())
    }

    /// One value of the query.
    pub(super) fn param(&self, name: &str) -> Option<String> {
        self.query().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
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
            [] => super::make::index(),
            ["get"] | ["head"] => super::echo::short(asked),
            ["post" | "put" | "patch" | "delete"] | ["anything", ..] => super::echo::long(asked),
            ["headers"] => super::echo::headers(asked),
            ["ip"] => super::echo::ip(asked),
            ["user-agent"] => super::echo::user_agent(asked),
            ["cookies"] => super::echo::cookies(asked),
            ["dump", "request"] => super::echo::dump(asked),
            ["cookies", what @ ("set" | "delete")] => super::make::set_cookies(asked, *what == "delete"),
            ["hostname"] => net::pretty(StatusCode::OK, &json!({"hostname": self.pod})),
            ["health" | "healthz"] => net::text(StatusCode::OK, "ok\n"),
            ["status", codes] => super::make::status(codes),
            ["unstable"] => super::make::unstable(asked),
            ["response-headers"] => super::make::response_headers(asked),
            ["redirect" | "relative-redirect", n] => super::make::redirect(n, None),
            ["absolute-redirect", n] => super::make::redirect(n, Some(super::echo::origin_of(asked))),
            ["redirect-to"] => super::make::redirect_to(asked),
            ["cache"] => super::make::cache(asked, super::echo::short(asked)),
            ["cache", seconds] => super::make::max_age(seconds, super::echo::short(asked)),
            ["etag", tag] => super::make::etag(asked, tag),
            ["basic-auth", user, password] => super::make::basic_auth(asked, user, password),
            ["bearer"] => super::make::bearer(asked),
            ["base64", text] => super::make::base64(text),
            ["uuid"] => super::make::uuid(),
            ["bytes", n] => super::make::bytes(n),
            ["html"] => super::make::page(),
            ["json"] => super::make::document(),
            ["xml"] => super::make::xml(),
            ["robots.txt"] => net::text(StatusCode::OK, "User-agent: *\nDisallow: /deny\n"),
            ["deny"] => net::text(StatusCode::OK, "Robots are not wanted here.\n"),
            ["delay", time] => super::stream::delay(asked, time).await,
            ["stream", n] => super::stream::lines(asked, n),
            ["stream-bytes", n] => super::stream::chunks(n),
            ["drip"] => super::stream::drip(asked).await,
            ["trailers"] => super::stream::trailers(asked),
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

pub(super) fn wrong(why: &str) -> Reply {
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
