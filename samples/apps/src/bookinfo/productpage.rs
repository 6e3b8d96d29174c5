//! Productpage: `GET /productpage` is the page, made of details and reviews; `/login`, `/logout`, `/static`
//! belong to it; `/api/v1/products[/ID[/reviews|/ratings]]` gives the same as JSON; `/metrics` counts the calls.
//! Each call may take 3 s; reviews gets a second try. That is shorter than reviews waits for ratings, on purpose:
//! the documented fault-injection task finds it. FLOOD_FACTOR=N adds N idle calls to reviews per page.

use super::forward::forward;
use super::page::{self, Part, View};
use super::{Upstream, session};
use crate::net::{self, App, Call, Dialing, Listen, Reply, ended, json, pairs, pod_name, read_all, serve};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json as object};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The page's style sheet, and the picture in its corner.
const STYLE: &str = include_str!("style.css");
const LOGO: &str = include_str!("logo.svg");

/// The productpage service.
pub struct Productpage {
    /// The three services that it calls.
    pub details: Upstream,
    pub reviews: Upstream,
    pub ratings: Upstream,
    /// How long each call may take.
    pub timeout: Duration,
    /// Idle calls to reviews per page.
    pub flood: usize,
    pod: String,
    dialing: Dialing,
    results: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl Productpage {
    /// With the documented timeout.
    pub fn new(details: Upstream, reviews: Upstream, ratings: Upstream) -> Self {
        Self {
            details,
            reviews,
            ratings,
            timeout: Duration::from_secs(3),
            flood: 0,
            pod: pod_name(),
            dialing: Dialing::from_env(),
            results: Mutex::default(),
        }
    }

    /// As the environment says: DETAILS_HOSTNAME, REVIEWS_HOSTNAME, RATINGS_HOSTNAME, their _SERVICE_PORT,
    /// SERVICES_DOMAIN, FLOOD_FACTOR.
    pub fn from_env() -> Self {
        let page = Self::new(
            Upstream::from_env("details"),
            Upstream::from_env("reviews"),
            Upstream::from_env("ratings"),
        );
        let flood = std::env::var("FLOOD_FACTOR").ok().and_then(|factor| factor.parse().ok());
        Self { flood: flood.unwrap_or(0), ..page }
    }

    /// Asks `of` for book `id`, up to `tries` times.
    async fn ask(&self, of: &Upstream, id: &str, headers: &HeaderMap, tries: usize) -> Part {
        let started = Instant::now();
        let mut status = StatusCode::INTERNAL_SERVER_ERROR;
        for _ in 0..tries {
            status = match self.dialing.get(&of.url(id), headers, self.timeout).await {
                Ok((StatusCode::OK, body)) => match serde_json::from_slice(&body) {
                    Ok(value) => {
                        self.count(of, StatusCode::OK);
                        return Part {
                            service: of.name(),
                            status: StatusCode::OK,
                            value,
                            took: started.elapsed(),
                        };
                    }
                    Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
                },
                Ok((status, _)) => status,
                Err(cause) => {
                    eprintln!("{}: {cause}", of.base());
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            };
            self.count(of, status);
        }
        let error = format!("Sorry, product {} are currently unavailable for this book.", of.name());
        Part { service: of.name(), status, value: object!({"error": error}), took: started.elapsed() }
    }

    fn count(&self, of: &Upstream, status: StatusCode) {
        let mut results = self.results.lock().expect("no panic holds it");
        *results.entry((of.name(), status.as_u16())).or_default() += 1;
    }

    async fn front(&self, headers: &HeaderMap) -> Reply {
        let user = session::user(headers);
        let headers = passed_on(headers, user.as_deref());
        let details = self.ask(&self.details, "0", &headers, 1).await;
        join_all((0..self.flood).map(|_| self.ask(&self.reviews, "0", &headers, 2))).await;
        let reviews = self.ask(&self.reviews, "0", &headers, 2).await;
        let view = View { user: user.as_deref(), pod: &self.pod, book: &books()[0], details, reviews };
        net::html(StatusCode::OK, page::product(&view))
    }

    async fn api(&self, path: &str, headers: &HeaderMap) -> Reply {
        let headers = passed_on(headers, session::user(headers).as_deref());
        let mut rest = path.trim_matches('/').splitn(2, '/');
        let (id, what) = (rest.next().unwrap_or_default(), rest.next());
        if id.is_empty() {
            return json(StatusCode::OK, &books());
        }
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return net::text(StatusCode::NOT_FOUND, "not found\n");
        }
        let part = match what {
            None => self.ask(&self.details, id, &headers, 1).await,
            Some("reviews") => self.ask(&self.reviews, id, &headers, 2).await,
            Some("ratings") => self.ask(&self.ratings, id, &headers, 1).await,
            Some(_) => return net::text(StatusCode::NOT_FOUND, "not found\n"),
        };
        json(part.status, &part.value)
    }

    fn metrics(&self) -> Reply {
        let mut text = "# HELP request_result_total Results of requests\n".to_owned();
        text.push_str("# TYPE request_result_total counter\n");
        for ((app, code), count) in &*self.results.lock().expect("no panic holds it") {
            let labels = format!("destination_app=\"{app}\",response_code=\"{code}\"");
            writeln!(text, "request_result_total{{{labels}}} {count}").expect("a string takes all");
        }
        let mut reply = net::text(StatusCode::OK, text);
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        reply.headers_mut().insert(header::CONTENT_TYPE, kind);
        reply
    }
}

/// The only book in store.
fn books() -> [Value; 1] {
    [object!({
        "id": 0,
        "title": "The Comedy of Errors",
        "descriptionHtml": "One of <b>William Shakespeare</b>'s first plays and the shortest of all: two pairs of \
            identical twins, parted in a storm when they were small, spend one day in Ephesus being taken for each \
            other. <a href=\"https://en.wikipedia.org/wiki/The_Comedy_of_Errors\">Wikipedia</a> has the plot.",
    })]
}

fn passed_on(headers: &HeaderMap, user: Option<&str>) -> HeaderMap {
    let mut out = forward(headers);
    if let Some(value) = user.and_then(|user| HeaderValue::from_str(user).ok()) {
        out.insert("end-user", value);
    }
    out
}

/// Back to where the browser came from. Only the path of it: never to another site.
fn back(headers: &HeaderMap, cookie: HeaderValue) -> Reply {
    let from = headers.get(header::REFERER).and_then(|value| value.to_str().ok());
    let from = from.and_then(|url| url.parse::<http::Uri>().ok());
    let path = from.as_ref().and_then(|uri| uri.path_and_query()).map(|path| path.as_str());
    let path = path.filter(|path| path.starts_with('/') && !path.starts_with("//") && *path != "/");
    let mut reply = net::empty(StatusCode::FOUND);
    let location = HeaderValue::from_str(path.unwrap_or("/productpage"));
    let location = location.unwrap_or_else(|_| HeaderValue::from_static("/productpage"));
    reply.headers_mut().insert(header::LOCATION, location);
    reply.headers_mut().insert(header::SET_COOKIE, cookie);
    reply
}

async fn login(call: Call) -> Reply {
    let (head, body) = call.request.into_parts();
    let body = read_all(body).await.unwrap_or_default();
    let form = pairs(&String::from_utf8_lossy(&body));
    let query = pairs(head.uri.query().unwrap_or_default());
    let user = form.into_iter().chain(query).find(|(key, _)| key == "username").map(|(_, user)| user);
    match user.map(|user| user.trim().to_owned()).filter(|user| !user.is_empty()) {
        Some(user) => back(&head.headers, session::sign_in(&user)),
        None => net::text(StatusCode::BAD_REQUEST, "the form has no username\n"),
    }
}

/// A file of the page; it may be kept, its name changes with its content never.
fn file(path: &str) -> Reply {
    let (kind, body) = match path {
        "/style.css" => ("text/css; charset=utf-8", STYLE),
        "/logo.svg" => ("image/svg+xml", LOGO),
        _ => return net::text(StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut reply = net::text(StatusCode::OK, body);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    reply
}

impl App for Productpage {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let path = call.request.uri().path().to_owned();
        let headers = call.request.headers();
        match path.as_str() {
            "/productpage" => self.front(headers).await,
            "/" | "/index.html" => {
                net::html(StatusCode::OK, page::index(&[&self.details, &self.reviews, &self.ratings]))
            }
            "/health" => net::text(StatusCode::OK, "Product page is healthy"),
            "/metrics" => self.metrics(),
            "/login" if call.request.method() == Method::POST => login(call).await,
            "/login" => net::empty(StatusCode::METHOD_NOT_ALLOWED),
            "/logout" => back(headers, session::sign_out()),
            other => match (other.strip_prefix("/static"), other.strip_prefix("/api/v1/products")) {
                (Some(name), _) => file(name),
                (_, Some(rest)) if rest.is_empty() || rest.starts_with('/') => self.api(rest, headers).await,
                _ => net::text(StatusCode::NOT_FOUND, "not found\n"),
            },
        }
    }
}

/// Serves productpage until the process is asked to end.
pub async fn run(port: u16, listen: Listen) -> anyhow::Result<()> {
    let listener = listen.on(port).await?;
    serve(listener, Productpage::from_env(), ended()).await
}
