//! Times in logs: `START_TIME` and its formats.
//!
//! In: a format in the style of `strftime` with Envoy's sub-second forms (`%3f`, `%E3S`). Out: UTC text. The
//! default is `2026-11-20T08:30:00.123Z`.

use std::cell::RefCell;
use std::fmt::Write;
use std::time::SystemTime;

use super::STRING;
use jiff::{Timestamp, tz::TimeZone};

/// A parsed format.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct TimeFormat {
    /// `None`: the default form.
    parts: Option<Vec<Part>>,
}

#[derive(Debug, PartialEq, Eq, Clone)]
enum Part {
    /// Passed to the calendar: literals and plain `%X`.
    Calendar(String),
    /// Digits of the second's fraction.
    Fraction(usize),
    /// Seconds since 1970.
    Epoch,
}

impl TimeFormat {
    /// Parses; an empty text is the default form.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(TimeFormat { parts: None });
        }
        let mut parts = Vec::new();
        let mut calendar = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                calendar.push(c);
                continue;
            }
            let mut directive: String = String::new();
            for c in chars.by_ref() {
                directive.push(c);
                if !(c.is_ascii_digit() || c == 'E' && directive.len() == 1 || c == '*') {
                    break;
                }
            }
            let mut special = Vec::new();
            match directive.as_str() {
                "s" => special.push(Part::Epoch),
                "f" => special.push(Part::Fraction(9)),
                "E*S" => special.extend([Part::Calendar("%S.".into()), Part::Fraction(9)]),
                other => {
                    match (other.strip_suffix('f'), other.strip_prefix('E').and_then(|d| d.strip_suffix('S')))
                    {
                        (Some(digits), _) => special.push(Part::Fraction(count(digits, text)?)),
                        (_, Some(digits)) => {
                            special
                                .extend([Part::Calendar("%S.".into()), Part::Fraction(count(digits, text)?)]);
                        }
                        _ if other.len() == 1 => {
                            calendar.push('%');
                            calendar.push_str(other);
                        }
                        _ => return Err(format!("unknown time directive %{other} in {text:?}")),
                    }
                }
            }
            if !special.is_empty() {
                parts.push(Part::Calendar(std::mem::take(&mut calendar)));
                parts.extend(special);
            }
        }
        parts.push(Part::Calendar(calendar));
        let format = TimeFormat { parts: Some(parts) };
        format.try_write(SystemTime::UNIX_EPOCH, &mut String::new())?;
        Ok(format)
    }

    /// The form that is used where none is given.
    pub(super) fn is_default(&self) -> bool {
        self.parts.is_none()
    }

    /// Appends the time in UTC.
    pub(super) fn write(&self, time: SystemTime, out: &mut String) {
        self.try_write(time, out).expect("every format was tried when it was parsed");
    }

    fn try_write(&self, time: SystemTime, out: &mut String) -> Result<(), String> {
        let Some(parts) = &self.parts else {
            default_form(time, out);
            return Ok(());
        };
        let stamp = Timestamp::try_from(time).map_err(|e| e.to_string())?;
        let zoned = stamp.to_zoned(TimeZone::UTC);
        for part in parts {
            match part {
                Part::Calendar(format) => {
                    let text = jiff::fmt::strtime::format(format, &zoned).map_err(|e| e.to_string())?;
                    out.push_str(&text);
                }
                Part::Fraction(digits) => {
                    let nanos = format!("{:09}", stamp.subsec_nanosecond());
                    out.push_str(nanos.get(..*digits).unwrap_or(&nanos));
                }
                Part::Epoch => {
                    write!(out, "{}", stamp.as_second()).expect(STRING);
                }
            }
        }
        Ok(())
    }
}

/// `2026-11-20T08:30:00.123Z`: milliseconds are what Envoy prints. The text of the last second is remembered.
fn default_form(time: SystemTime, out: &mut String) {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since.as_secs() {
            *second = since.as_secs();
            *text = base::telemetry::rfc3339(time);
            // What is behind the point of `...:00.123456Z` changes with every line.
            text.truncate(20);
        }
        out.push_str(text);
    });
    let millis = since.subsec_millis();
    for digit in [millis / 100, millis / 10 % 10, millis % 10] {
        out.push(char::from(b'0' + digit as u8));
    }
    out.push('Z');
}

fn count(digits: &str, text: &str) -> Result<usize, String> {
    match digits.parse() {
        Ok(n @ 1..=9) => Ok(n),
        _ => Err(format!("a fraction has 1 to 9 digits: {text:?}")),
    }
}
