//! The clocks of an exchange: a timer that is cheap while things move, and the limits from route and headers.
//!
//! In: limits of the route, the chain and `x-envoy-*` headers. Out: [`Limits`], and timers that are polled beside the
//! work. Touching one that runs is a store, not a timer operation.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::{Forward, RetryPolicy};

const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-timeout-ms");
const PER_TRY_MS: HeaderName = HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms");
const EXPECTED_MS: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Fires when nothing happened for a while. Its timer lives as long as the connection and is moved only when it
/// fires, so a request that ends in time costs one reading of the clock.
#[derive(Debug)]
pub(crate) struct Watchdog {
    sleep: Option<Pin<Box<Sleep>>>,
    limit: Duration,
    since: Instant,
}

impl Watchdog {
    /// Off until [`Watchdog::start`].
    pub(crate) fn new() -> Self {
        Watchdog::since(Instant::now())
    }

    /// As [`Watchdog::new`], where the moment is known.
    pub(crate) fn since(since: Instant) -> Self {
        Watchdog { sleep: None, limit: Duration::ZERO, since }
    }

    /// Counts from now; a limit of zero is none.
    pub(crate) fn start(&mut self, limit: Duration) {
        self.start_at(limit, Instant::now());
    }

    /// Counts from a moment that is known already.
    pub(crate) fn start_at(&mut self, limit: Duration, since: Instant) {
        self.limit = limit;
        self.since = since;
    }

    /// Something happened.
    pub(crate) fn touch(&mut self) {
        self.since = Instant::now();
    }

    /// Ready when the limit has passed since the last touch.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.limit.is_zero() {
            return Poll::Pending;
        }
        let due = self.since + self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// A point in time that may not be set.
#[derive(Debug, Default)]
pub(crate) struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Sets it unless the limit is zero.
    pub(crate) fn set(&mut self, limit: Duration) {
        self.0 = (!limit.is_zero()).then(|| Box::pin(sleep_until(Instant::now() + limit)));
    }

    /// Takes it away.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// It was set, whether it has passed or not.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Ready when it has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// From the complete request to the complete response, retries included. Zero: none.
    pub(crate) whole: Duration,
    /// Each attempt. Zero: none.
    pub(crate) per_try: Duration,
}

/// What matters to the limits beside the route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    /// The request is a gRPC call, whose own timeout may count.
    pub(crate) grpc: bool,
    /// The request has `x-envoy-*` headers.
    pub(crate) asks: bool,
    /// The upstream is told what it may expect.
    pub(crate) tell: bool,
}

impl Limits {
    /// From the route, which a request's own headers may override.
    pub(crate) fn of(
        forward: &Forward,
        retry: Option<&RetryPolicy>,
        Said { grpc, asks, tell }: Said,
        headers: &mut HeaderMap,
    ) -> Self {
        let mut whole = forward.timeout;
        let mut per_try = retry.map_or(Duration::ZERO, |retry| retry.per_try_timeout);
        if let (true, Some(max)) = (grpc, forward.grpc_timeout_max)
            && let Some(asked) = headers.get(&GRPC_TIMEOUT).and_then(grpc_timeout)
        {
            whole = if max.is_zero() { asked } else { asked.min(max) };
        }
        if asks {
            whole = take_ms(headers, &TIMEOUT_MS).unwrap_or(whole);
            per_try = take_ms(headers, &PER_TRY_MS).unwrap_or(per_try);
        }
        if !whole.is_zero() && per_try >= whole {
            per_try = Duration::ZERO;
        }
        let expected = if per_try.is_zero() { whole } else { per_try };
        if tell && !expected.is_zero() {
            headers.insert(EXPECTED_MS, HeaderValue::from(expected.as_millis() as u64));
        }
        Limits { whole, per_try }
    }
}

fn take_ms(headers: &mut HeaderMap, name: &HeaderName) -> Option<Duration> {
    let value = headers.remove(name)?;
    Some(Duration::from_millis(value.to_str().ok()?.parse().ok()?))
}

/// `100m`, `5S`: up to eight digits and a unit.
fn grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_barks_after_silence_only() {
        let mut dog = Watchdog::new();
        dog.start(Duration::from_secs(10));
        let begun = Instant::now();
        for _ in 0..5 {
            let quiet = tokio::time::timeout(Duration::from_secs(9), std::future::poll_fn(|cx| dog.poll(cx)));
            assert!(quiet.await.is_err());
            dog.touch();
        }
        std::future::poll_fn(|cx| dog.poll(cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 55);
        dog.start(Duration::from_secs(1));
        std::future::poll_fn(|cx| dog.poll(cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 56);
    }

    #[test]
    fn grpc_timeouts() {
        let read = |text: &'static str| grpc_timeout(&HeaderValue::from_static(text));
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("5S"), Some(Duration::from_secs(5)));
        assert_eq!(read("123456789S"), None);
        assert_eq!(read("S"), None);
        assert_eq!(read(""), None);
        assert_eq!(read("5x"), None);
    }
}
