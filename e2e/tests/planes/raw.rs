//! Bytes as no client library would write them: what both planes answer to a connection's whole input, in which order,
//! when they close, and which requests an origin gets to see of it.
//!
//! After the bytes of a talk a last request asks to close. So each talk ends: either the connection was in order and the
//! last request is answered, or it was closed before, and whatever took the last request for a body shows it.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::client::{Reply, converse};
use e2e::origin::Origin;
use e2e::planes::{Plane, Planes};
use e2e::until::eventually;
use serde::Deserialize;

use crate::calls::replies;
use crate::differences::DIFFERENCES;

const LAST: &str = "GET /PLANE/last HTTP/1.1\r\nhost: app.example.com\r\nconnection: close\r\n\r\n";

/// Talks under way at a time.
const AT_ONCE: usize = 16;

/// One connection: the bytes, and what must come of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Talk {
    /// `PLANE` becomes the plane's name, by which the origin tells them apart; `MANY` 300 headers, `BIG` 70000 letters.
    send: String,
    /// Statuses of all answers; without it, only that both agree.
    statuses: Option<Vec<u16>>,
    /// Numbers of answers without a body, since the request was HEAD.
    #[serde(default)]
    bodiless: Vec<usize>,
    /// Our side of the connection ends with the bytes.
    #[serde(default)]
    half_close: bool,
    /// Our side ends once the answer ends with this: for protocols that have no end.
    until: Option<String>,
    /// No last request: the bytes end the connection by themselves.
    #[serde(default)]
    alone: bool,
    /// The row of `docs/differences.md` that says how they differ.
    pub(crate) differs: Option<String>,
}

/// What came of it at one plane.
struct Outcome {
    replies: Vec<Reply>,
    seen: Vec<(String, String)>,
}

impl Talk {
    /// All talks, many at once, since a plane that refuses takes a second to close.
    pub(crate) fn all(talks: &[Talk], planes: &Planes, origins: &[Origin], wrong: &mut Vec<String>) -> usize {
        let next = AtomicUsize::new(0);
        let outcome = Mutex::new((0, Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(talks.len()) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(talk) = talks.get(number) else { return };
                        let mut found = Vec::new();
                        let lines = talk.run(number, planes, origins, &mut found);
                        let mut outcome = outcome.lock().unwrap();
                        outcome.0 += lines;
                        outcome.1.append(&mut found);
                    }
                });
            }
        });
        let (lines, mut found) = outcome.into_inner().unwrap();
        wrong.append(&mut found);
        lines
    }

    /// Compares; returns how many lines of log there must be.
    fn run(&self, number: usize, planes: &Planes, origins: &[Origin], wrong: &mut Vec<String>) -> usize {
        let what = format!("{:?}", self.send.chars().take(200).collect::<String>());
        let outcomes = [Plane::Envoy, Plane::Ours]
            .map(|plane| self.at(&format!("{}.{number}", word(plane)), planes.gateway(plane), origins));
        let (envoy, ours) = match outcomes {
            [Ok(envoy), Ok(ours)] => (envoy, ours),
            [envoy, ours] => {
                let text =
                    |one: Result<Outcome, String>| one.map_or_else(|error| error, |one| one.to_string());
                wrong.push(format!("{what}:\n   envoy {}\n   ours  {}", text(envoy), text(ours)));
                return 0;
            }
        };
        let mut found = Vec::new();
        if envoy.statuses() == ours.statuses() {
            for (number, (a, b)) in envoy.replies.iter().zip(&ours.replies).enumerate() {
                let method = if self.bodiless.contains(&number) { "HEAD" } else { "GET" };
                replies(&format!("{what}: answer {number}"), method, a, b, &mut found);
            }
        } else {
            found.push(format!("{what}: answers\n   envoy {envoy}\n   ours  {ours}"));
        }
        // Where nobody is answered, the client went, and how far its request got by then is chance.
        if envoy.seen != ours.seen && !envoy.replies.is_empty() {
            found.push(format!("{what}: forwarded\n   envoy {:?}\n   ours  {:?}", envoy.seen, ours.seen));
        }
        match &self.differs {
            Some(name) => {
                let statuses = [&envoy, &ours].map(|one| one.replies.first().map(|reply| reply.status));
                wrong.extend(DIFFERENCES.judge(name, statuses, &found).map(|why| format!("{what}: {why}")));
            }
            None => wrong.append(&mut found),
        }
        for one in [&envoy, &ours] {
            if self.differs.is_none()
                && self.statuses.as_ref().is_some_and(|wanted| *wanted != one.statuses())
            {
                wrong.push(format!("{what}: answers {:?}, not {:?}", one.statuses(), self.statuses));
            }
        }
        envoy.replies.len().min(ours.replies.len())
    }

    /// `word` is in the path of each request, so that the origin tells talks and planes apart.
    fn at(&self, word: &str, to: SocketAddr, origins: &[Origin]) -> Result<Outcome, String> {
        let last = if self.alone { "" } else { LAST };
        let many = (0..300).fold(String::new(), |text, n| format!("{text}x-{n}: y\r\n"));
        let text = format!("{}{last}", self.send).replace("MANY", &many).replace("BIG", &"b".repeat(70_000));
        let bytes = text.replace("PLANE", word);
        let replies = converse(to, bytes.as_bytes(), self.half_close, &self.bodiless, self.until.as_deref())
            .map_err(|error| error.to_string())?;
        // What is answered from an origin has been seen by one.
        let answered = replies.iter().filter(|reply| reply.headers.contains_key("x-origin")).count();
        let seen = eventually("the origins have seen what they answered", || {
            let seen = seen(origins, word);
            if seen.len() >= answered { Ok(seen) } else { Err(format!("{seen:?}")) }
        });
        let plain = |(line, body): (String, String)| (without_plane(&line), without_plane(&body));
        Ok(Outcome { replies, seen: seen.into_iter().map(plain).collect() })
    }
}

impl Outcome {
    fn statuses(&self) -> Vec<u16> {
        self.replies.iter().map(|reply| reply.status).collect()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let replies: Vec<(u16, &str)> = self
            .replies
            .iter()
            .map(|reply| (reply.status, reply.body.get(..60).unwrap_or(&reply.body)))
            .collect();
        write!(f, "{replies:?}, origin saw {:?}", self.seen)
    }
}

fn seen(origins: &[Origin], word: &str) -> Vec<(String, String)> {
    origins.iter().flat_map(|origin| origin.seen(&format!("/{word}/"))).collect()
}

fn word(plane: Plane) -> &'static str {
    match plane {
        Plane::Envoy => "envoy",
        Plane::Ours => "ours",
    }
}

/// The same text for both planes.
pub(crate) fn without_plane(text: &str) -> String {
    let mut text = text.to_string();
    for word in ["/envoy.", "/ours."] {
        while let Some(start) = text.find(word) {
            let rest = &text[start + word.len()..];
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            text.replace_range(start..start + word.len() + digits, "/PLANE");
        }
    }
    text
}
