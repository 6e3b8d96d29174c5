//! Responses: each answer of the corpus through both planes, with one more request behind it that must get its own answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answers::{self, Case};
use super::kinds;
use super::oracle::{self, Read};
use super::stage::{self, Side};
use super::talk::{Ended, Got, talk};
use super::verdict::{self, Judged};

/// Connections under way at a time: many of them wait for a timeout.
const AT_ONCE: usize = 96;

#[test]
fn nothing_ambiguous_is_answered() {
    let cases = Arc::new(answers::all());
    let script = {
        let cases = cases.clone();
        Arc::new(move |target: &str| {
            let number: usize = target.strip_prefix("/r/")?.parse().ok()?;
            let case = cases.get(number)?;
            // Where bytes are left over they stay on a connection that could be used again.
            let left = matches!(
                oracle::response(&case.bytes, case.method, false),
                Read::Whole(message) if message.size < case.bytes.len()
            );
            Some((case.bytes.clone(), !left))
        }) as _
    };
    let mut sides = stage::both(&script, &[stage::PLAIN]);
    let (judged, wrong) =
        verdict::judge(&cases, AT_ONCE, |number, case, wrong| one(number, case, &sides, wrong));
    sides.iter_mut().for_each(Side::stop);
    verdict::give("responses", &kinds::RESPONSES, &judged, wrong);
}

fn one(number: usize, case: &Case, sides: &[Side; 2], wrong: &mut Vec<String>) -> Judged {
    let length = if case.method == "POST" { "content-length: 0\r\n" } else { "" };
    let bytes = format!(
        "{} /r/{number} HTTP/1.1\r\nhost: app.example.com\r\n{length}\r\nGET /last HTTP/1.1\r\nhost: app.example.com\r\nconnection: close\r\n\r\n",
        case.method
    );
    let method = |number, _| Some(if number == 0 { case.method.to_string() } else { "GET".to_string() });
    let [mut envoy, ours] = [0, 1].map(|which| {
        let side = &sides[which];
        talk(side.listen[0], &[bytes.as_bytes()], which == 0, &method)
            .unwrap_or_else(|error| panic!("{}: {error}", side.name))
    });
    let text: String = case.bytes.iter().map(|b| char::from(*b)).take(300).collect();
    judge(&format!("{} {} {text:?}", case.method, case.family), case, &ours, wrong);
    // Envoy's second request may meet a connection that the first one's answer has just ended, and gets 503.
    if let ([.., theirs], [.., own]) = (&mut envoy.answers[..], &ours.answers[..])
        && theirs.status == 503
        && own.seen.is_some()
    {
        theirs.status = own.status;
    }
    Judged { family: case.family, bytes: case.bytes.clone(), envoy: told(&envoy), ours: told(&ours) }
}

/// What must be true of what our client gets, whatever Envoy does.
fn judge(name: &str, case: &Case, got: &Got, wrong: &mut Vec<String>) {
    if got.ended != Ended::Closed {
        wrong.push(format!("{name}: ends {:?}", got.ended));
    }
    let Some(first) = got.answers.first() else { return };
    let expected = oracle::response(&strip_interim(&case.bytes), case.method, true);
    match &expected {
        Read::Whole(message)
            if (first.status < 500 || first.message.headers.iter().any(|(name, _)| name == "x"))
                && (first.message.start.0 != message.start.0 || first.message.body != message.body) =>
        {
            let body = String::from_utf8_lossy(&first.message.body).into_owned();
            wrong.push(format!("{name}: the client gets {} {body:?}", first.status));
        }
        Read::Broken(why) if first.status < 500 => {
            wrong.push(format!("{name}: the client gets {} of what is broken: {why}", first.status));
        }
        Read::Part if first.status < 500 => {
            wrong.push(format!("{name}: the client gets {} of a part", first.status))
        }
        _ => {}
    }
    for second in got.answers.iter().skip(1) {
        if second.seen.is_none() && second.status == 200 {
            wrong.push(format!("{name}: the next request gets an answer that is not its own"));
        }
    }
    if !got.rest.is_empty() && got.answers.len() > 1 {
        wrong.push(format!("{name}: the client cannot read {:?}", String::from_utf8_lossy(&got.rest)));
    }
}

/// Interim responses are passed over; what they say is nobody's answer.
fn strip_interim(bytes: &[u8]) -> Vec<u8> {
    let mut rest = bytes;
    while let Read::Whole(message) = oracle::response(rest, "GET", false) {
        if !message.start.0.starts_with('1') || message.start.0 == "101" {
            break;
        }
        rest = &rest[message.size..];
    }
    rest.to_vec()
}

fn told(got: &Got) -> Vec<String> {
    let mut told: Vec<String> = got
        .answers
        .iter()
        .enumerate()
        .map(|(number, answer)| {
            let mut text: String = answer.interim.iter().map(|status| format!("{status} ")).collect();
            text.push_str(&answer.status.to_string());
            if number == 0 && answer.status < 500 {
                let volatile =
                    ["date", "server", "x-envoy-upstream-service-time", "connection", "transfer-encoding"];
                let mut joined: BTreeMap<&str, String> = BTreeMap::new();
                for (name, value) in
                    answer.message.headers.iter().filter(|(name, _)| !volatile.contains(&name.as_str()))
                {
                    let all = joined.entry(name).or_default();
                    if !all.is_empty() && name != "set-cookie" {
                        all.push(',');
                    }
                    all.push_str(&value.escape_ascii().to_string());
                }
                let mut fields: Vec<String> =
                    joined.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                fields.iter_mut().for_each(|field| field.truncate(60));
                fields.truncate(10);
                let body: String = answer.message.body.iter().map(|b| char::from(*b)).take(40).collect();
                text.push_str(&format!(" <- [{}] {body:?}", fields.join(", ")));
            }
            text
        })
        .collect();
    if !got.rest.is_empty() {
        told.push("broken off".into());
    }
    match got.ended {
        Ended::Closed => {}
        ended => told.push(format!("{ended:?}")),
    }
    told
}
