//! Traces: is this request sampled, who is its parent, what goes on to the upstream.
//!
//! In: the request's headers (B3 in both forms, W3C, `x-request-id`, `x-envoy-force-trace`, `x-client-trace-id`), the
//! chain's settings, random bits. Out: a [`SpanContext`] and the headers rewritten for the upstream. Pure. Called by
//! `http` once per request, after the request id is set. An incoming decision wins over our own sampling.

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::RngExt;

use super::SpanContext;
use crate::config::Tracing;

const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const SINGLE: HeaderName = HeaderName::from_static("b3");
const W3C: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORCE: HeaderName = HeaderName::from_static("x-envoy-force-trace");
const CLIENT: HeaderName = HeaderName::from_static("x-client-trace-id");

/// Where a request id (UUID version 4) says that it is traced: the version digit.
const REASON_AT: usize = 14;

/// What came in.
#[derive(Debug, Default, PartialEq, Eq)]
struct Incoming {
    /// Trace and span of the caller.
    parent: Option<(u128, u64)>,
    sampled: Option<bool>,
    /// The caller speaks W3C: so do we towards the upstream.
    w3c: bool,
}

/// Decides, and writes the headers for the upstream. `internal` requests may force a trace.
pub fn begin(
    tracing: &Tracing,
    internal: bool,
    headers: &mut HeaderMap,
    rng: &mut impl RngExt,
) -> SpanContext {
    let incoming = read(headers);
    let reason = reason(tracing, internal, headers, rng);
    mark(headers, reason);
    let sampled = incoming.sampled.unwrap_or(reason != b'4');
    let span_id = nonzero(rng);
    let (trace_id, parent_id) = match incoming.parent {
        Some((trace, span)) => (trace, Some(span)),
        None if tracing.trace_id_128bit => (u128::from(nonzero(rng)) << 64 | u128::from(nonzero(rng)), None),
        None => (u128::from(nonzero(rng)), None),
    };
    let span = SpanContext { trace_id, span_id, parent_id, sampled };
    write(&span, incoming.w3c, headers);
    span
}

/// A fresh `x-request-id`: a UUID of version 4 that says "not traced".
pub fn request_id(rng: &mut impl RngExt) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits: u128 = rng.random();
    let bits = bits & !(0xF << 76) | 0x4 << 76;
    let bits = bits & !(0x3 << 62) | 0x2 << 62;
    let mut text = *b"00000000-0000-0000-0000-000000000000";
    let places = text.iter_mut().filter(|place| **place == b'0');
    for (place, shift) in places.zip((0..128).step_by(4).rev()) {
        *place = DIGITS[(bits >> shift) as usize & 0xF];
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes are visible")
}

fn nonzero(rng: &mut impl RngExt) -> u64 {
    rng.random::<u64>().max(1)
}

/// The trace reason as Envoy keeps it in the request id: `4` none, `9` sampled, `a` forced, `b` by the client.
fn reason(tracing: &Tracing, internal: bool, headers: &HeaderMap, rng: &mut impl RngExt) -> u8 {
    let id = headers.get(REQUEST_ID).map(HeaderValue::as_bytes).unwrap_or_default();
    match id.get(REASON_AT) {
        Some(known @ (b'9' | b'a' | b'b')) if id.len() == 36 => return *known,
        _ => {}
    }
    if headers.contains_key(CLIENT) {
        return b'b';
    }
    if internal && headers.contains_key(FORCE) {
        return b'a';
    }
    if tracing.sampling >= 10_000 || rng.random_range(0..10_000) < tracing.sampling { b'9' } else { b'4' }
}

fn mark(headers: &mut HeaderMap, reason: u8) {
    let Some(id) = headers.get(REQUEST_ID) else { return };
    if id.len() != 36 || id.as_bytes().get(REASON_AT) == Some(&reason) {
        return;
    }
    let mut bytes = id.as_bytes().to_vec();
    if let Some(at) = bytes.get_mut(REASON_AT) {
        *at = reason;
    }
    if let Ok(value) = HeaderValue::from_bytes(&bytes) {
        headers.insert(REQUEST_ID, value);
    }
}

fn read(headers: &HeaderMap) -> Incoming {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let mut incoming = Incoming { w3c: headers.contains_key(W3C), ..Incoming::default() };
    if text(&FLAGS) == Some("1") {
        incoming.sampled = Some(true);
    } else if let Some(sampled) = text(&SAMPLED) {
        incoming.sampled = decision(sampled);
    }
    if let (Some(trace), Some(span)) = (text(&TRACE_ID), text(&SPAN_ID)) {
        incoming.parent = hex_pair(trace, span);
    } else if let Some(single) = text(&SINGLE) {
        let parts: Vec<&str> = single.split('-').collect();
        match parts.as_slice() {
            [alone] => incoming.sampled = decision(alone),
            [trace, span, rest @ ..] => {
                incoming.parent = hex_pair(trace, span);
                incoming.sampled = rest.first().and_then(|flag| decision(flag)).or(incoming.sampled);
            }
            [] => {}
        }
    } else if let Some(w3c) = text(&W3C) {
        let parts: Vec<&str> = w3c.split('-').collect();
        if let [version, trace, span, flags, ..] = parts.as_slice()
            && *version != "ff"
            && trace.len() == 32
        {
            incoming.parent = hex_pair(trace, span);
            let flags = u8::from_str_radix(flags, 16).ok();
            incoming.sampled = flags.map(|flags| flags & 1 == 1).or(incoming.sampled);
        }
    }
    incoming
}

fn decision(text: &str) -> Option<bool> {
    match text {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

fn hex_pair(trace: &str, span: &str) -> Option<(u128, u64)> {
    let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
    Some((trace, u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?))
}

fn write(span: &SpanContext, w3c: bool, headers: &mut HeaderMap) {
    let mut set = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    };
    set(TRACE_ID, trace_hex(span.trace_id));
    set(SPAN_ID, format!("{:016x}", span.span_id));
    if let Some(parent) = span.parent_id {
        set(PARENT_ID, format!("{parent:016x}"));
    }
    set(SAMPLED, u8::from(span.sampled).to_string());
    if w3c {
        set(W3C, format!("00-{:032x}-{:016x}-{:02x}", span.trace_id, span.span_id, u8::from(span.sampled)));
    }
    if span.parent_id.is_none() {
        headers.remove(PARENT_ID);
    }
    // The single form is replaced by the one above: two forms with different spans would split the trace.
    headers.remove(SINGLE);
    headers.remove(FLAGS);
}

/// 16 digits for short ids, 32 for long ones.
pub(crate) fn trace_hex(id: u128) -> String {
    if id >> 64 == 0 { format!("{id:016x}") } else { format!("{id:032x}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn tracing(sampling: u32) -> Tracing {
        Tracing {
            cluster: "zipkin".into(),
            path: "/api/v2/spans".into(),
            hostname: "zipkin".into(),
            sampling,
            trace_id_128bit: true,
            tags: Vec::new(),
            max_path_len: 256,
        }
    }

    fn run(sampling: u32, given: &[(&'static str, &'static str)]) -> (SpanContext, HeaderMap) {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, request_id(&mut rng));
        for (name, value) in given {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let span = begin(&tracing(sampling), true, &mut headers, &mut rng);
        (span, headers)
    }

    #[test]
    fn a_root_span_says_so_in_headers_and_request_id() {
        let (span, headers) = run(10_000, &[]);
        assert!(span.sampled && span.parent_id.is_none() && span.trace_id >> 64 != 0);
        assert_eq!(headers["x-b3-sampled"], "1");
        assert_eq!(headers["x-b3-traceid"].len(), 32);
        assert_eq!(headers["x-request-id"].as_bytes()[REASON_AT], b'9');
        assert!(!headers.contains_key("traceparent"));
        let (span, headers) = run(0, &[]);
        assert!(!span.sampled);
        assert_eq!(headers["x-b3-sampled"], "0");
        assert_eq!(headers["x-request-id"].as_bytes()[REASON_AT], b'4');
        assert!(run(0, &[("x-envoy-force-trace", "true")]).0.sampled);
        assert!(run(0, &[("x-client-trace-id", "a")]).0.sampled);
    }

    #[test]
    fn an_incoming_decision_wins() {
        let b3 = [("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"), ("x-b3-spanid", "00000000000000a1")];
        let (span, headers) = run(10_000, &[b3[0], b3[1], ("x-b3-sampled", "0")]);
        assert!(!span.sampled);
        assert_eq!(span.parent_id, Some(0xa1));
        assert_eq!(headers["x-b3-traceid"], "463ac35c9f6413ad48485a3953bb6124");
        assert_eq!(headers["x-b3-parentspanid"], "00000000000000a1");
        let (span, headers) = run(0, &[("b3", "463ac35c9f6413ad-a2-1")]);
        assert!(span.sampled && span.trace_id == 0x463a_c35c_9f64_13ad && span.parent_id == Some(0xa2));
        assert!(!headers.contains_key("b3"));
        let (span, headers) =
            run(0, &[("traceparent", "00-463ac35c9f6413ad48485a3953bb6124-00000000000000a3-01")]);
        assert!(span.sampled && span.parent_id == Some(0xa3));
        assert!(headers["traceparent"].to_str().unwrap().starts_with("00-463ac35c9f6413ad48485a3953bb6124-"));
        assert!(headers["traceparent"].to_str().unwrap().ends_with("-01"));
    }

    #[test]
    fn ids_are_uuids() {
        let id = request_id(&mut SmallRng::seed_from_u64(1));
        let text = id.to_str().unwrap();
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
