//! Answers that take their time or come in pieces: delays, lines, chunks, drops, trailers. In: the path and
//! query. Out: an answer whose body is made while it is sent. Called by the router of httpbin.

use super::serve::{Asked, LONGEST, wrong};
use super::{echo, make};
use crate::net::{Body, Reply, duration, text};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;

/// `/delay/SECONDS` or `/delay/250ms`.
pub(super) async fn delay(asked: &Asked, time: &str) -> Reply {
    match duration(time) {
        Ok(time) => {
            tokio::time::sleep(time.min(LONGEST)).await;
            echo::long(asked)
        }
        Err(why) => wrong(&why),
    }
}

/// `/stream/N`: N lines of JSON, each a chunk.
pub(super) fn lines(asked: &Asked, n: &str) -> Reply {
    let Ok(n) = n.parse::<usize>() else { return wrong("expected a number of lines") };
    let n = n.min(100);
    let url = format!("{}{}", echo::origin_of(asked), asked.uri.path());
    let lines = (0..n).map(move |id| Bytes::from(format!("{}\n", json!({"id": id, "url": url}))));
    pieces("application/json", lines.collect(), Duration::ZERO)
}

/// `/stream-bytes/N`: N bytes in chunks of 10 KiB.
pub(super) fn chunks(n: &str) -> Reply {
    let Some(n) = n.parse::<usize>().ok().filter(|n| *n <= 32 * 1024 * 1024) else {
        return wrong("expected a number of bytes, at most 33554432");
    };
    let bytes = Bytes::from(make::noise(n));
    let cut = (0..n).step_by(10 * 1024).map(|at| bytes.slice(at..n.min(at + 10 * 1024)));
    pieces("application/octet-stream", cut.collect(), Duration::ZERO)
}

/// `/drip?duration=2s&numbytes=10&delay=1s&code=200`: one byte at a time.
pub(super) async fn drip(asked: &Asked) -> Reply {
    let time = |name: &str, default: u64| {
        asked.param(name).map_or(Ok(Duration::from_secs(default)), |text| duration(&text))
    };
    let count = asked.param("numbytes").map_or(Ok(10), |text| text.parse::<u32>());
    let code = asked.param("code").map_or(Ok(200), |text| text.parse::<u16>());
    let (Ok(wait), Ok(time), Ok(count @ 1..=10_000), Ok(code @ 200..=599)) =
        (time("delay", 0), time("duration", 2), count, code)
    else {
        return wrong("expected durations, numbytes from 1 to 10000, code from 200 to 599");
    };
    tokio::time::sleep(wait.min(LONGEST)).await;
    let drops = vec![Bytes::from_static(b"*"); count as usize];
    let mut reply = pieces("text/plain", drops, time.min(LONGEST) / count);
    *reply.status_mut() = StatusCode::from_u16(code).expect("200 to 599 are statuses");
    reply
}

/// `/trailers?a=1`: the pairs come after the body.
pub(super) fn trailers(asked: &Asked) -> Reply {
    let mut trailers = HeaderMap::new();
    for (name, value) in asked.query() {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(&name), HeaderValue::try_from(&value)) else {
            return wrong(&format!("'{name}' cannot be a trailer"));
        };
        trailers.append(name, value);
    }
    let names: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
    let names = HeaderValue::try_from(names.join(", ")).expect("names of headers are header characters");
    let mut reply = text(StatusCode::OK, "");
    let body = Bytes::from_static(b"trailers follow\n");
    *reply.body_mut() = http_body_util::Full::new(body)
        .with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) })
        .boxed_unsync();
    reply.headers_mut().insert(header::TRAILER, names);
    reply
}

/// An answer that is sent piece by piece, with a `pause` before each.
fn pieces(kind: &'static str, pieces: Vec<Bytes>, pause: Duration) -> Reply {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(async move {
        for piece in pieces {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
    });
    let body: Body = body.boxed_unsync();
    let mut reply = Reply::new(body);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
