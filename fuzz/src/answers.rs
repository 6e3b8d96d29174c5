//! What an origin sends, through a whole proxy to a client.
//!
//! Promises: the client gets answers that every reader reads alike, one for each request and never one that was sent
//! before it was asked for; an answer is the origin's, whole, or says that there was none, or is cut off.

use proxy::config::HttpChain;

use super::oracle::{self, Read};
use super::pipeline::{chain, exchange, responses};

/// What the proxy says where the origin said nothing of use.
const OWN: [&str; 4] = ["500", "502", "503", "504"];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "OPTIONS"];
const TIMES: usize = 2;

pub fn answers(bytes: &[u8]) {
    let Some((&[options], told)) = bytes.split_first_chunk() else { return };
    let method = METHODS[usize::from(options & 3)];
    let (last, switch) = (options & 4 != 0, options & 8 != 0);
    let mut head = format!("{method} / HTTP/1.1\r\nhost: a\r\n");
    match (method, switch) {
        ("GET", true) => head.push_str("connection: upgrade\r\nupgrade: websocket\r\n"),
        ("POST", _) => head.push_str("content-length: 3\r\n"),
        _ => {}
    }
    head.push_str(if method == "POST" { "\r\nabc" } else { "\r\n" });
    let sent = head.repeat(TIMES);
    let http = HttpChain { upgrades: vec!["websocket".into()], ..chain() };
    let own = told.to_vec();
    let (back, got) = exchange(http, sent.as_bytes(), sent.len(), move |_| (own.clone(), last));
    // From here on it is a tunnel.
    if method == "GET" && switch && back.starts_with(b"HTTP/1.1 101") {
        return;
    }
    let (answers, cut) = responses(&back, std::iter::repeat_n(method, TIMES));
    assert!(answers.len() <= TIMES && got.requests.len() <= TIMES, "{answers:?}");
    let meant = meant(told, method, last);
    for answer in &answers {
        if OWN.contains(&answer.start.0.as_str()) && answer.values("server") == [b"istio-envoy"] {
            continue;
        }
        let Some(meant) = &meant else { panic!("{answer:?} was made of what is no answer") };
        assert_eq!((&answer.start.0, &answer.body), (&meant.start.0, &meant.body));
    }
    assert!(cut || !answers.is_empty(), "the client got nothing");
}

/// The final answer that these bytes begin with.
fn meant(mut told: &[u8], method: &str, ended: bool) -> Option<oracle::Message> {
    loop {
        match oracle::response(told, method, ended) {
            Read::Whole(interim) if interim.start.0.starts_with('1') => told = &told[interim.size..],
            Read::Whole(message) => return Some(message),
            Read::Part | Read::Broken(_) => return None,
        }
    }
}
