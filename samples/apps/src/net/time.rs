//! Durations as people write them: `250ms`, `1.5s`, `2m`, `1h`, a bare number is seconds. For flags and paths.

use std::time::Duration;

/// Reads a duration; not negative, not above a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("'{text}' is not a duration such as 250ms, 1.5s, 2m")),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * scale);
    match seconds.filter(|seconds| (0.0..=366.0 * 86_400.0).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs_f64(seconds)),
        None => Err(format!("'{text}' is not a duration such as 250ms, 1.5s, 2m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "ms", "-1s", "1d", "1s2", "NaN"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
