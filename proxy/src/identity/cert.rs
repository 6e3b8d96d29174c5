//! When a certificate is to be renewed.
//!
//! In: its validity, a ratio, jitter, a random number. Out: a moment. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Validity of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Window {
    /// Reads it from DER.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| format!("certificate: {e}"))?;
        let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let validity = parsed.validity();
        Ok(Window {
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    /// Left of its life; zero when over.
    pub fn left(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }
}

/// The moment to renew: when `ratio` of the remaining life counted from `now` is left, moved by up to `jitter` of it.
/// Counted from `now` because CAs date certificates back to allow for clocks that are late.
pub fn renew_at(window: Window, now: SystemTime, ratio: f64, jitter: f64, random: f64) -> SystemTime {
    let life = window.left(now.max(window.not_before));
    let ratio = (ratio + jitter * (random * 2.0 - 1.0)).clamp(0.0, 1.0);
    now + life.mul_f64(1.0 - ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_life() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let window =
            Window { not_before: now - Duration::from_secs(120), not_after: now + Duration::from_secs(60) };
        assert_eq!(renew_at(window, now, 0.5, 0.0, 0.3), now + Duration::from_secs(30));
        let early = renew_at(window, now, 0.5, 0.01, 1.0);
        let late = renew_at(window, now, 0.5, 0.01, 0.0);
        assert!(early < late && late <= now + Duration::from_secs(31));
        assert_eq!(
            renew_at(window, now + Duration::from_secs(90), 0.5, 0.0, 0.0),
            now + Duration::from_secs(90)
        );
    }
}
