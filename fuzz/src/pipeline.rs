//! A whole proxy between a client and an origin of whom one sends whatever it likes: pipes in memory, time that stands
//! still while anything can be done.
//!
//! In: bytes of one side, options. Out: what each side got, judged by the plain reading of RFC 9112 that the tests beside
//! a stock Envoy use. `requests` and `answers` say what must hold.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy::config::{App, Forward, HttpChain};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::oracle::{self, Message, Read};
use super::support;

/// Everything that waits for a silent side ends after this time, which costs none.
const SOON: Duration = Duration::from_secs(1);
/// Longer than all timeouts together.
const LATE: Duration = Duration::from_secs(24 * 3600);

/// What the origin got.
#[derive(Debug, Default)]
pub struct Got {
    /// Whole requests, in order.
    pub requests: Vec<Message>,
    /// What was no request.
    pub faults: Vec<String>,
}

pub type Shared = Rc<RefCell<Got>>;

/// A chain on which no side may be silent for long.
pub fn chain() -> HttpChain {
    HttpChain {
        stream_idle_timeout: SOON,
        idle_timeout: SOON,
        request_timeout: SOON,
        request_headers_timeout: SOON,
        upgrades: Vec::new(),
        ..support::chain()
    }
}

/// Sends `input` in pieces of `cut` through a proxy of its own. Returns what comes back up to the end of the connection,
/// and what the origin got, which answers each request with what `answer` says of it and, where that is so, hangs up.
pub fn exchange(
    http: HttpChain,
    input: &[u8],
    cut: usize,
    answer: impl Fn(&Message) -> (Vec<u8>, bool) + 'static,
) -> (Vec<u8>, Got) {
    let (mut back, got) = (Vec::new(), Shared::default());
    let answer = Rc::new(answer);
    let seen = got.clone();
    support::run(async {
        let http = Arc::new(http);
        // The route's clock is the only one over a tunnel.
        let forward = Forward { idle_timeout: Some(SOON), ..support::forward() };
        let mesh = support::mesh(support::Setup { forward, ..Default::default() });
        mesh.net.listen(support::addr(1), move |io| origin(io, seen.clone(), answer.clone()));
        let (near, far) = tokio::io::duplex(support::PIPE);
        let served = support::served(far, App::Http(http.clone()), mesh.drain.watch());
        let serving = tokio::task::spawn_local(proxy::http::serve(mesh.worker.clone(), served, http));
        let (mut from, mut to) = tokio::io::split(near);
        let talk = async {
            for piece in input.chunks(cut.max(1)) {
                // Whoever is refused is not listened to any longer.
                if to.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let both = async { tokio::join!(talk, from.read_to_end(&mut back)).1 };
        let ended = tokio::time::timeout(LATE, both).await.expect("the connection ends");
        assert!(ended.is_ok(), "{ended:?}");
        drop((from, to));
        let served = tokio::time::timeout(LATE, serving).await.expect("serving ends");
        assert!(served.is_ok(), "{served:?}");
    });
    let got = got.take();
    assert!(got.faults.is_empty(), "the origin got {:?}", got.faults);
    (back, got)
}

/// Reads requests as the standard says and answers each.
async fn origin<A: Fn(&Message) -> (Vec<u8>, bool)>(mut io: DuplexStream, got: Shared, answer: Rc<A>) {
    let mut buffer = Vec::new();
    loop {
        match oracle::request(&buffer) {
            Read::Whole(request) => {
                buffer.drain(..request.size);
                got.borrow_mut().faults.extend(request.faults());
                if request.values("host").len() != 1 {
                    got.borrow_mut().faults.push(format!("hosts of {request:?}"));
                }
                let (bytes, last) = answer(&request);
                got.borrow_mut().requests.push(request);
                if io.write_all(&bytes).await.is_err() || last {
                    return;
                }
            }
            Read::Part => match io.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            Read::Broken(why) => {
                got.borrow_mut().faults.push(format!("{why}: {}", buffer.escape_ascii()));
                return;
            }
        }
    }
}

/// The final responses in what a client got, each for a request with the next of these methods, and those that follow what
/// could not be read are for nobody. The last one may be cut off; it is the second value then.
pub fn responses<'a>(mut bytes: &[u8], mut methods: impl Iterator<Item = &'a str>) -> (Vec<Message>, bool) {
    let mut all = Vec::new();
    let mut method = methods.next();
    while !bytes.is_empty() {
        match oracle::response(bytes, method.unwrap_or("GET"), true) {
            Read::Whole(response) => {
                bytes = &bytes[response.size..];
                let faults = response.faults();
                let known =
                    |fault: &String| !fault.starts_with("target ") && !fault.starts_with("connection: ");
                let faults: Vec<_> = faults.iter().filter(|fault| known(fault)).collect();
                assert!(faults.is_empty(), "the client got {faults:?}");
                if !response.start.0.starts_with('1') {
                    method = methods.next();
                    all.push(response);
                }
            }
            Read::Part => return (all, true),
            Read::Broken(why) => panic!("the client got {why}: {}", bytes.escape_ascii()),
        }
    }
    (all, false)
}
