//! The line per request on standard output: the combined log format that log tools know, then the authority,
//! the request id and the time it took. In: the request's head before it is answered, then the answer.
//! Called by `serve`; off until `Listen` has read the command line. A closed standard output is not an
//! error: the application goes on.

use super::reply::Reply;
use http::{HeaderMap, Request};
use hyper::body::Body as _;
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Whether this process writes the lines: set once, by the command line.
static ON: AtomicBool = AtomicBool::new(false);

/// Turns the lines on or off for the process.
pub(super) fn turn(on: bool) {
    ON.store(on, Ordering::Relaxed);
}

/// What of a request is needed once it is answered.
pub(super) struct Seen {
    started: Instant,
    line: String,
    referer: String,
    agent: String,
    authority: String,
    request_id: String,
    peer: IpAddr,
}

impl Seen {
    pub(super) fn new<B>(request: &Request<B>, peer: IpAddr) -> Self {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let authority = request.uri().authority().map(|host| host.as_str().to_owned());
        Self {
            started: Instant::now(),
            line: format!("{} {path} {:?}", request.method(), request.version()),
            referer: said(request.headers(), "referer"),
            agent: said(request.headers(), "user-agent"),
            authority: authority.unwrap_or_else(|| said(request.headers(), "host")),
            request_id: said(request.headers(), "x-request-id"),
            peer,
        }
    }

    pub(super) fn write(self, reply: &Reply) {
        if !ON.load(Ordering::Relaxed) {
            return;
        }
        let length = reply.body().size_hint().exact().map_or_else(|| "-".to_owned(), |n| n.to_string());
        let now = jiff::Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        let took = self.started.elapsed().as_secs_f64() * 1e3;
        let line = format!(
            "{} - - [{now}] \"{}\" {} {length} \"{}\" \"{}\" host={} request_id={} {took:.1}ms\n",
            self.peer,
            self.line,
            reply.status().as_u16(),
            self.referer,
            self.agent,
            self.authority,
            self.request_id,
        );
        drop(std::io::stdout().lock().write_all(line.as_bytes()));
    }
}

/// A header's value fit for a quoted field: `-` if absent, escaped where it could break the line.
fn said(headers: &HeaderMap, name: &str) -> String {
    match headers.get(name) {
        None => "-".to_owned(),
        Some(value) => value.as_bytes().escape_ascii().to_string(),
    }
}
