//! A small HTTP/1.1 server for debug, readiness and metrics endpoints.
//!
//! In: a route table (path -> handler) and a listener. Out: answers; a path that nobody owns gets 404 and the list
//! of paths, a handler that panics costs only its connection. Served on ports that operators and probes reach; it
//! knows nothing of what the handlers tell. [`serve`] ends with its drain watch and leaves no task behind.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::drain::Watch;
use crate::task;

/// Bodies above this are refused with 413.
const MAX_BODY: usize = 16 << 20;

/// What a handler gets.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path without query, percent-encoded as received.
    pub path: String,
    /// Query parameters, decoded, in order; a parameter without `=` has an empty value.
    pub query: Vec<(String, String)>,
    /// Header fields.
    pub headers: http::HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Who asks, if known.
    pub peer: Option<SocketAddr>,
}

impl Request {
    /// The first query parameter of this name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What a handler answers.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// Further header fields.
    pub headers: Vec<(header::HeaderName, String)>,
}

impl Response {
    /// 200 with plain text.
    pub fn text(body: impl Into<String>) -> Self {
        Response::new(StatusCode::OK, "text/plain; charset=utf-8", body.into())
    }

    /// 200 with JSON that is text already.
    pub fn json(body: impl Into<String>) -> Self {
        Response::new(StatusCode::OK, "application/json", body.into())
    }

    /// 200 with HTML.
    pub fn html(body: impl Into<String>) -> Self {
        Response::new(StatusCode::OK, "text/html; charset=utf-8", body.into())
    }

    /// Any status with a line of text.
    pub fn status(status: StatusCode, body: impl Into<String>) -> Self {
        Response { status, ..Response::text(body) }
    }

    /// All of it.
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Response { status, content_type, body: body.into(), headers: Vec::new() }
    }
}

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;
type Handler = Arc<dyn Fn(Request) -> Answer + Send + Sync>;

struct Route {
    /// `None`: any method.
    method: Option<Method>,
    help: &'static str,
    handler: Handler,
}

/// The route table. Longest matching path wins; a path that ends in `*` matches what begins with it.
#[derive(Default)]
pub struct Routes {
    exact: BTreeMap<String, Vec<Route>>,
    prefix: BTreeMap<String, Vec<Route>>,
}

impl Routes {
    /// No routes.
    pub fn new() -> Self {
        Routes::default()
    }

    /// Answers GET and HEAD of `path`.
    pub fn get<F, A>(self, path: &str, help: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        self.add(Some(Method::GET), path, help, handler)
    }

    /// Answers POST (and PUT) of `path`.
    pub fn post<F, A>(self, path: &str, help: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        self.add(Some(Method::POST), path, help, handler)
    }

    /// Answers every method of `path`.
    pub fn any<F, A>(self, path: &str, help: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        self.add(None, path, help, handler)
    }

    /// Every path with its help text, sorted: for an index page.
    pub fn index(&self) -> Vec<(String, &'static str)> {
        let exact = self.exact.iter().map(|(path, routes)| (path.clone(), routes[0].help));
        let prefix = self.prefix.iter().map(|(path, routes)| (format!("{path}*"), routes[0].help));
        let mut all: Vec<_> = exact.chain(prefix).collect();
        all.sort();
        all
    }

    /// Takes over the routes of another table (its own win on the same path and method).
    pub fn merge(mut self, other: Routes) -> Self {
        for (path, routes) in other.exact {
            self.exact.entry(path).or_default().extend(routes);
        }
        for (path, routes) in other.prefix {
            self.prefix.entry(path).or_default().extend(routes);
        }
        self
    }

    /// The answer to one request; without a socket, for tests and for in-process callers.
    pub async fn answer(&self, request: Request) -> Response {
        match self.find(&request.method, &request.path) {
            Ok(handler) => handler(request).await,
            Err(response) => response,
        }
    }

    fn add<F, A>(mut self, method: Option<Method>, path: &str, help: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let route = Route { method, help, handler };
        match path.strip_suffix('*') {
            Some(prefix) => self.prefix.entry(prefix.into()).or_default().push(route),
            None => self.exact.entry(path.into()).or_default().push(route),
        }
        self
    }

    fn find(&self, method: &Method, path: &str) -> Result<Handler, Response> {
        let longest = || self.prefix.iter().rev().find(|(p, _)| path.starts_with(p.as_str())).map(|(_, r)| r);
        let Some(routes) = self.exact.get(path).or_else(longest) else {
            let known: Vec<String> =
                self.index().into_iter().map(|(p, help)| format!("  {p}: {help}")).collect();
            let text = format!("no such path: {path}\nknown paths:\n{}\n", known.join("\n"));
            return Err(Response::status(StatusCode::NOT_FOUND, text));
        };
        let asked = match *method {
            Method::HEAD => &Method::GET,
            Method::PUT => &Method::POST,
            _ => method,
        };
        let fits = |route: &&Route| route.method.as_ref().is_none_or(|m| m == asked);
        match routes.iter().find(fits) {
            Some(route) => Ok(route.handler.clone()),
            None => {
                let text = format!("{method} is not allowed on {path}\n");
                Err(Response::status(StatusCode::METHOD_NOT_ALLOWED, text))
            }
        }
    }
}

/// Accepts and answers until the drain begins, then finishes the connections that are open.
pub async fn serve(listener: TcpListener, routes: Arc<Routes>, mut drain: Watch) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.graceful() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let work = connection(stream, Some(peer), routes.clone(), drain.clone());
                task::spawn("admin-connection", work);
            }
            // Out of descriptors, most likely: breathe, or this loop eats a core.
            Err(error) => {
                tracing::warn!(%error, "accept failed on an admin port");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Answers requests on one connection of any kind.
pub async fn connection<I>(io: I, peer: Option<SocketAddr>, routes: Arc<Routes>, mut drain: Watch)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(respond(request, peer, &routes).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    let connection = http.serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = drain.graceful() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection.as_mut() => result,
                () = drain.immediate() => Ok(()),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "admin connection ended");
    }
}

async fn respond(
    request: http::Request<Incoming>,
    peer: Option<SocketAddr>,
    routes: &Routes,
) -> http::Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let answer = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => {
            let query = head.uri.query().map(parse_query).unwrap_or_default();
            let path = head.uri.path().to_owned();
            let body = body.to_bytes();
            routes
                .answer(Request { method: head.method, path, query, headers: head.headers, body, peer })
                .await
        }
        Err(error) => Response::status(StatusCode::PAYLOAD_TOO_LARGE, format!("body: {error}\n")),
    };
    let mut response = http::Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(answer.content_type));
    for (name, value) in answer.headers {
        if let Ok(value) = header::HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// Splits and decodes a query string; `+` is a blank.
pub fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(key), percent_decode(value))
        })
        .collect()
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
                continue;
            }
            (b'+', ..) => out.push(b' '),
            (other, ..) => out.push(other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn routes() -> Routes {
        Routes::new()
            .get("/ready", "readiness", async |_| Response::text("ok"))
            .post("/echo", "the body", async |r: Request| {
                Response::text(format!("{:?} {:?}", r.body, r.param("a")))
            })
            .any("/debug/*", "anything", async |r: Request| Response::json(format!("{:?}", r.path)))
    }

    async fn ask(addr: SocketAddr, request: &str) -> String {
        let mut io = tokio::net::TcpStream::connect(addr).await.unwrap();
        io.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn serves_routes_and_drains() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (trigger, watch) = crate::drain::pair();
        let server = task::spawn("admin-test", serve(listener, Arc::new(routes()), watch));

        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let ready = ask(addr, &get("/ready")).await;
        assert!(ready.starts_with("HTTP/1.1 200") && ready.ends_with("ok"), "{ready}");
        assert!(ask(addr, &get("/debug/a/b")).await.ends_with("\"/debug/a/b\""));
        let missing = ask(addr, &get("/nothing")).await;
        assert!(missing.starts_with("HTTP/1.1 404") && missing.contains("/ready: readiness"), "{missing}");
        assert!(ask(addr, &get("/echo")).await.starts_with("HTTP/1.1 405"));
        let post =
            "POST /echo?b&a=x%20y+z HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
        assert!(ask(addr, post).await.ends_with("b\"hi\" Some(\"x y z\")"));

        // An idle keep-alive connection must not hold the drain back.
        let mut idle = tokio::net::TcpStream::connect(addr).await.unwrap();
        idle.write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut seen = [0u8; 15];
        idle.read_exact(&mut seen).await.unwrap();
        assert_eq!(trigger.drain(Duration::from_secs(30)).await, crate::drain::Outcome::Complete);
        server.await.unwrap();
        task::settled(&["admin-connection"], Duration::from_secs(10)).await.unwrap();
    }
}
