//! Latencies. In: durations. Out: percentiles, exact to one part in 32, in a few kilobytes whatever the number
//! of values: 32 buckets for each power of two of microseconds. Used by `load`.

use std::time::Duration;

const SUB: u64 = 32;
const BUCKETS: usize = 32 * 34;

/// Counts of durations by size.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: Duration,
    min: Duration,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        let (min, max) = (Duration::MAX, Duration::ZERO);
        Self { buckets: vec![0; BUCKETS], count: 0, sum: Duration::ZERO, min, max }
    }
}

impl Histogram {
    /// Adds a value.
    pub fn record(&mut self, value: Duration) {
        self.buckets[bucket(micros(value))] += 1;
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value below which `percent` of all lie; zero if there is none.
    pub fn percentile(&self, percent: f64) -> Duration {
        if self.count == 0 {
            return Duration::ZERO;
        }
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rank = ((self.count as f64 * percent / 100.0).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper(index)).clamp(self.min, self.max);
            }
        }
        self.max
    }

    /// The mean; zero if there is none.
    pub fn mean(&self) -> Duration {
        u32::try_from(self.count).ok().filter(|n| *n > 0).map_or(Duration::ZERO, |n| self.sum / n)
    }

    /// The least; zero if there is none.
    pub fn min(&self) -> Duration {
        if self.count == 0 { Duration::ZERO } else { self.min }
    }

    /// The greatest.
    pub fn max(&self) -> Duration {
        self.max
    }
}

fn micros(value: Duration) -> u64 {
    u64::try_from(value.as_micros()).unwrap_or(u64::MAX)
}

/// Values below 32 have a bucket each; above, the five bits after the highest choose among 32.
fn bucket(value: u64) -> usize {
    let index = match value.checked_ilog2() {
        Some(power @ 5..) => u64::from(power - 4) * SUB + ((value >> (power - 5)) & (SUB - 1)),
        _ => value,
    };
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < SUB {
        return index;
    }
    let shift = index / SUB - 1;
    ((SUB + index % SUB + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        for value in (0..4096).chain([65_535, 1_000_000, 59_999_999, 3_600_000_000]) {
            let top = upper(bucket(value));
            assert!(top >= value && top - value <= value / 32, "{value} {top}");
        }
    }

    #[test]
    fn percentiles_of_a_thousand() {
        let mut all = Histogram::default();
        for n in 1..=1000 {
            all.record(Duration::from_micros(n * 10));
        }
        let near = |got: Duration, want: u64| {
            got.as_micros().abs_diff(u128::from(want)) <= u128::from(want / 32 + 1)
        };
        assert!(near(all.percentile(50.0), 5000), "{:?}", all.percentile(50.0));
        assert!(near(all.percentile(99.0), 9900), "{:?}", all.percentile(99.0));
        assert_eq!(all.percentile(100.0), Duration::from_millis(10));
        assert_eq!((all.min(), all.count()), (Duration::from_micros(10), 1000));
        assert_eq!(Histogram::default().percentile(99.0), Duration::ZERO);
    }
}
