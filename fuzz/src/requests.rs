//! What a client sends, through a whole proxy to an origin.
//!
//! Promises: the origin gets nothing but requests that every reader reads alike, each of them one of the client's, in
//! their order; how the client's bytes were cut changes nothing; the client gets answers, and no more than it asked.

use proxy::config::{EscapedSlashes, HttpChain, PathRules, Underscores};

use super::oracle::{self, Message};
use super::pipeline::{Got, chain, exchange, responses};

/// How an HTTP/2 client begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
/// More is for the timeouts of slow clients, not for us.
const LONGEST: usize = 16 * 1024;

pub fn requests(bytes: &[u8]) {
    let Some((&[options], sent)) = bytes.split_first_chunk() else { return };
    if sent.len() > LONGEST {
        return;
    }
    if options & 1 != 0 {
        let sent = [PREFACE, SETTINGS, sent].concat();
        pass(options, &sent, sent.len());
        return;
    }
    let (back, got) = pass(options, sent, sent.len());
    if sent.starts_with(PREFACE) {
        return;
    }
    let (asked, _) = oracle::requests(sent);
    let mut rest = asked.iter();
    for request in &got.requests {
        let same = |one: &Message| one.start.0 == request.start.0 && one.body == request.body;
        assert!(rest.any(same), "nobody asked {request:?}, but {asked:?}");
    }
    let (answers, _) = responses(&back, asked.iter().map(|one| one.start.0.as_str()));
    assert!(answers.len() <= asked.len() + 1, "{} answers to {} requests", answers.len(), asked.len());
    assert!(got.requests.len() <= answers.len(), "{} answers to {:?}", answers.len(), got.requests);
    let (_, parts) = pass(options, sent, 5);
    assert_eq!(shown(&got), shown(&parts), "whole, then in pieces");
}

fn pass(options: u8, sent: &[u8], cut: usize) -> (Vec<u8>, Got) {
    let has = |bit: u8| options & bit != 0;
    let http = HttpChain {
        accept_http10: has(2),
        use_remote_address: has(4),
        paths: PathRules {
            normalize: true,
            merge_slashes: has(8),
            escaped_slashes: if has(8) { EscapedSlashes::Forward } else { EscapedSlashes::Keep },
        },
        underscores: if has(16) { Underscores::Drop } else { Underscores::Keep },
        proxy_continue: has(32),
        ..chain()
    };
    let chunked = has(64);
    exchange(http, sent, cut, move |request| {
        let framing = if chunked { "transfer-encoding: chunked" } else { "content-length: 2" };
        let body = match (request.start.0.as_str(), chunked) {
            ("HEAD", _) => "",
            (_, true) => "2\r\nok\r\n0\r\n\r\n",
            (_, false) => "ok",
        };
        (format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}").into_bytes(), false)
    })
}

/// What must be the same each time.
fn shown(got: &Got) -> Vec<String> {
    let one = |request: &Message| {
        let changes = |name: &str| name == "x-request-id";
        let headers: Vec<_> = request.headers.iter().filter(|(name, _)| !changes(name)).collect();
        format!("{:?} {headers:?} {:?} {:?}", request.start, request.body, request.trailers)
    };
    got.requests.iter().map(one).collect()
}
