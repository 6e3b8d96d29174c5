//! Requests: each case of the corpus through both planes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attacks;
use super::backend::Record;
use super::corpus::{self, Case};
use super::kinds::{self, Kind};
use super::oracle::{self, Message};
use super::stage::{self, Side};
use super::talk::{Ended, Got, talk};
use super::verdict::{self, Judged, short};

/// Connections under way at a time.
const AT_ONCE: usize = 24;
pub(super) const LAST: &str =
    "GET /T0KEN/last HTTP/1.1\r\nhost: app.example.com\r\nconnection: close\r\n\r\n";

/// Judged cases of each list.
type Outcomes = Vec<(&'static str, Vec<Judged>)>;
/// Lists of cases, and by which of the listeners each is judged.
type Lists = [(&'static str, usize, Vec<Case>)];

#[test]
fn nothing_ambiguous_is_forwarded() {
    let (outcomes, wrong) = judge_all(&[("requests", 0, corpus::all())], &[stage::PLAIN]);
    verdict::give("requests", &kinds::REQUESTS, &outcomes[0].1, wrong);
}

#[test]
fn attacks_are_no_other_requests() {
    let lists = [("attacks", 0, attacks::all()), ("attacks on 1.0", 1, attacks::old())];
    let (outcomes, mut wrong) = judge_all(&lists, &[stage::PLAIN, stage::OLD]);
    let [(name, judged), (old_name, old)] = &outcomes[..] else { unreachable!("two lists") };
    let kinds: Vec<Kind> = kinds::REQUESTS.into_iter().chain(kinds::ATTACKS).collect();
    let explained = verdict::compare(name, &kinds, judged, &mut wrong);
    verdict::fail_idle(&kinds::ATTACKS, &explained, &mut wrong);
    let kinds: Vec<Kind> = kinds::REQUESTS.into_iter().chain(kinds::OLD).collect();
    let explained = verdict::compare(old_name, &kinds, old, &mut wrong);
    verdict::fail_idle(&kinds::OLD, &explained, &mut wrong);
    verdict::fail("attacks", &wrong);
}

fn judge_all(lists: &Lists, settings: &[(&str, &str)]) -> (Outcomes, Vec<String>) {
    let sides = stage::both(&(Arc::new(|_: &str| None) as _), settings);
    let mut outcomes = Vec::new();
    let (mut total, mut wrong) = (0, Vec::new());
    for (name, listener, cases) in lists {
        let started = Instant::now();
        let (judged, mut faults) = verdict::judge(cases, AT_ONCE, |number, case, wrong| {
            one((total + number, *listener), case, &sides, wrong)
        });
        wrong.append(&mut faults);
        total += cases.len();
        eprintln!("{name}: {} connections in {:?}", cases.len(), started.elapsed());
        outcomes.push((*name, judged));
    }
    let mut sides = sides;
    sides.iter_mut().for_each(Side::stop);
    judge_records(&sides[1], &mut wrong);
    (outcomes, wrong)
}

/// Each refusal counts as a protocol error where it does at Envoy, and by its reason.
#[test]
fn refusals_are_counted() {
    let sides = stage::both(&(Arc::new(|_: &str| None) as _), &[stage::PLAIN]);
    let many: String = (0..300).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = "y".repeat(70_000);
    for (text, reason) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nx : y\r\n\r\n", "codec_error"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "content_length_and_chunked_not_allowed",
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "invalid_transfer_encoding"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "codec_error"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "invalid_url"),
        ("GET / HTTP/1.1\r\nHost: a\r\nx: \0\r\n\r\n", "invalid_characters"),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for\r\n\r\n", "connection_header_rejected"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "invalid_authority"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "low_version"),
        ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "path_normalization_failed"),
        ("GET / HTTP/1.1\r\n\r\n", "missing_host_header"),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "too_many_headers"),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\nx: {long}\r\n\r\n"), "headers_too_large"),
    ] {
        let errors = || [0, 1].map(|which| sides[which].stat("http.in.downstream_cx_protocol_error"));
        let reasons = || sides[1].stat(&format!("http.in.downstream_rq_refused.{reason}"));
        let (before, counted) = (errors(), reasons());
        let [envoy, ours] = [0, 1].map(|which| {
            let got = talk(sides[which].listen[0], &[text.as_bytes()], which == 0, &|_, _| None).unwrap();
            statuses(&got)
        });
        let what: String = text.chars().take(100).collect();
        assert_eq!(envoy, ours, "{what:?}");
        assert_eq!(reasons(), counted + 1, "{what:?} is counted as {reason}");
        let after = errors();
        assert_eq!(
            after[0] - before[0],
            after[1] - before[1],
            "{what:?}: protocol errors of Envoy and of ours"
        );
    }
}

fn one(
    (number, listener): (usize, usize),
    case: &Case,
    sides: &[Side; 2],
    wrong: &mut Vec<String>,
) -> Judged {
    let bytes = with_number(&[&case.bytes[..], LAST.as_bytes()].concat(), number);
    let [envoy, ours] = [0, 1].map(|which| {
        let side = &sides[which];
        talk(side.listen[listener], &[&bytes], which == 0, &side.method())
            .unwrap_or_else(|error| panic!("{}: {error}", side.name))
    });
    let name = format!("{} {:?}", case.family, short(&bytes));
    judge_answers(&name, &bytes, &ours, &sides[1], wrong);
    let [envoy, ours] = [(&sides[0], envoy), (&sides[1], ours)].map(|(side, got)| told(side, &got));
    Judged { family: case.family, bytes, envoy, ours }
}

/// The case of this number.
pub(super) fn with_number(bytes: &[u8], number: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len().saturating_sub(4) {
        if &bytes[at..at + 5] == b"T0KEN" {
            bytes[at..at + 5].copy_from_slice(format!("{number:05}").as_bytes());
        }
    }
    bytes
}

/// What must be true of our answers, whatever Envoy does.
fn judge_answers(name: &str, bytes: &[u8], got: &Got, side: &Side, wrong: &mut Vec<String>) {
    if !got.rest.is_empty() {
        wrong.push(format!("{name}: the client cannot read {:?}", String::from_utf8_lossy(&got.rest)));
    }
    if got.ended != Ended::Closed {
        wrong.push(format!("{name}: ends {:?} after {:?}", got.ended, statuses(got)));
    }
    // What the bytes are by the standard, request by request.
    let (expected, _) = oracle::requests(bytes);
    for (number, answer) in got.answers.iter().enumerate() {
        let forwarded = answer.seen.and_then(|seen| match side.backend.record(seen) {
            Some(Record::Message(message)) => Some(message),
            _ => None,
        });
        match (expected.get(number), forwarded) {
            (Some(expected), Some(forwarded)) if !is_same(expected, &forwarded) => {
                wrong.push(format!(
                    "{name}: forwarded {:?} with {:?}",
                    forwarded.start,
                    String::from_utf8_lossy(&forwarded.body)
                ));
            }
            (None, Some(forwarded)) => {
                wrong.push(format!("{name}: no such request, and it was forwarded: {:?}", forwarded.start))
            }
            (None, None) if number + 1 < got.answers.len() => {
                wrong.push(format!("{name}: goes on after {}", answer.status));
            }
            _ => {}
        }
    }
}

/// The request that was sent is the one that was forwarded. Paths may be spelled in another way.
fn is_same(sent: &Message, forwarded: &Message) -> bool {
    let simple = |text: &str| {
        text.starts_with('/')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/?".contains(&b))
            && !text.contains("//")
    };
    sent.start.0 == forwarded.start.0
        && sent.body == forwarded.body
        && (!simple(&sent.start.1) || sent.start.1 == forwarded.start.1)
}

/// Everything that our proxy wrote to its origin.
pub(super) fn judge_records(side: &Side, wrong: &mut Vec<String>) {
    // The process is gone; the last connections are noticed soon.
    std::thread::sleep(Duration::from_millis(200));
    for record in side.backend.records() {
        match record {
            Record::Message(message) => {
                for fault in message.faults() {
                    wrong.push(format!("forwarded {:?}: {fault}", message.start));
                }
            }
            Record::Wrong(why, bytes) => {
                wrong.push(format!(
                    "ambiguous: {why}: {:?}",
                    String::from_utf8_lossy(&bytes[..bytes.len().min(500)])
                ));
            }
            Record::Part => {}
        }
    }
}

fn statuses(got: &Got) -> Vec<u16> {
    got.answers.iter().map(|answer| answer.status).collect()
}

/// An outcome as text that can be compared.
pub(super) fn told(side: &Side, got: &Got) -> Vec<String> {
    let mut told: Vec<String> = got
        .answers
        .iter()
        .map(|answer| {
            let mut text: String = answer.interim.iter().map(|status| format!("{status} ")).collect();
            text.push_str(&answer.status.to_string());
            if let Some(Record::Message(message)) = answer.seen.and_then(|seen| side.backend.record(seen)) {
                let mut joined: BTreeMap<&str, String> = BTreeMap::new();
                for (name, value) in message.headers.iter().filter(|(name, _)| name != "x-request-id") {
                    // RFC 9110 5.3: several lines say the same as one list.
                    let all = joined.entry(name).or_default();
                    if !all.is_empty() {
                        all.push_str(if name == "cookie" { "; " } else { "," });
                    }
                    let text = value.escape_ascii().to_string();
                    // What it names is the same in any case.
                    all.push_str(&if name == "connection" { text.to_lowercase() } else { text });
                }
                let fields: Vec<String> =
                    joined.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                let body: String = message.body.iter().map(|b| char::from(*b)).take(40).collect();
                text.push_str(&format!(
                    " <- {} {} [{}] {body:?}",
                    message.start.0,
                    message.start.1,
                    fields.join(", ")
                ));
            }
            text
        })
        .collect();
    match got.ended {
        Ended::Closed => {}
        ended => told.push(format!("{ended:?}")),
    }
    told
}
