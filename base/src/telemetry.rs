//! Logging: one line per event, text or JSON, levels that can change while running.
//!
//! In: `tracing` events. Out: lines on standard error in the form of Istio's components, tab-separated
//! `time level scope message key=value...`, or JSON with the same facts. [`init`] is called once by each program;
//! the returned [`Levels`] backs the `/logging` endpoint. A scope is the part of the program that speaks: the
//! module below our own crate (`proxy::listen::accept` is `listen`), else the crate's name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;

use parking_lot::RwLock;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// How to log.
#[derive(Clone, Debug)]
pub struct Options {
    /// Istio's `--log_output_level`: `info`, or `default:info,xds:debug`. Default `info`.
    pub levels: String,
    /// Istio's `--log_as_json`. Default false.
    pub json: bool,
    /// Crates whose modules are scopes of their own; other crates are one scope each.
    pub own_crates: &'static [&'static str],
}

impl Default for Options {
    fn default() -> Self {
        Options { levels: "info".into(), json: false, own_crates: &[] }
    }
}

/// The levels in force. Clones are the same table.
#[derive(Clone)]
pub struct Levels {
    table: Arc<RwLock<Table>>,
    own_crates: &'static [&'static str],
}

struct Table {
    default: LevelFilter,
    scopes: BTreeMap<String, LevelFilter>,
    seen: BTreeSet<String>,
}

/// Starts logging. Fails if the levels do not parse or logging was started before.
pub fn init(options: &Options) -> anyhow::Result<Levels> {
    let levels = Levels::new(&options.levels, options.own_crates).map_err(anyhow::Error::msg)?;
    let format = Format {
        json: options.json,
        color: !options.json && std::io::stderr().is_terminal(),
        own_crates: options.own_crates,
    };
    let layer = tracing_subscriber::fmt::layer().event_format(format).with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry().with(layer).with(levels.clone());
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(levels)
}

impl Levels {
    /// Parses `info` or `default:info,scope:debug`.
    pub fn new(text: &str, own_crates: &'static [&'static str]) -> Result<Self, String> {
        let table = Table { default: LevelFilter::INFO, scopes: BTreeMap::new(), seen: BTreeSet::new() };
        let levels = Levels { table: Arc::new(RwLock::new(table)), own_crates };
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.split_once(':') {
                Some((scope, level)) => levels.set(scope, level)?,
                None => levels.set("default", item)?,
            }
        }
        Ok(levels)
    }

    /// Sets the level of one scope; `default` (or `all`, which also forgets the others) sets that of the rest.
    pub fn set(&self, scope: &str, level: &str) -> Result<(), String> {
        let level = parse_level(level)?;
        {
            let mut table = self.table.write();
            match scope {
                "all" => {
                    table.default = level;
                    table.scopes.clear();
                }
                "default" => table.default = level,
                scope => {
                    table.scopes.insert(scope.to_owned(), level);
                }
            }
        }
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// Every known scope with its level, `default` included.
    pub fn list(&self) -> BTreeMap<String, &'static str> {
        let table = self.table.read();
        let mut all = BTreeMap::from([("default".to_owned(), level_name(table.default))]);
        for scope in table.seen.iter().chain(table.scopes.keys()) {
            all.insert(scope.clone(), level_name(*table.scopes.get(scope).unwrap_or(&table.default)));
        }
        all
    }

    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        let table = self.table.read();
        let scope = scope_of(metadata.target(), self.own_crates);
        *metadata.level() <= *table.scopes.get(scope).unwrap_or(&table.default)
    }
}

impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let scope = scope_of(metadata.target(), self.own_crates);
        let known = self.table.read().seen.contains(scope);
        if !known {
            self.table.write().seen.insert(scope.to_owned());
        }
        if self.allows(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let table = self.table.read();
        table.scopes.values().copied().chain([table.default]).max()
    }
}

fn scope_of<'a>(target: &'a str, own_crates: &[&str]) -> &'a str {
    let mut parts = target.split("::");
    let first = parts.next().unwrap_or(target);
    match parts.next() {
        Some(second) if own_crates.contains(&first) => second,
        _ => first,
    }
}

fn parse_level(text: &str) -> Result<LevelFilter, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "none" | "off" => LevelFilter::OFF,
        "fatal" | "critical" | "error" => LevelFilter::ERROR,
        "warn" | "warning" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return Err(format!("unknown log level {text:?}: none, error, warn, info, debug or trace")),
    })
}

fn level_name(level: LevelFilter) -> &'static str {
    match level.into_level() {
        None => "none",
        Some(level) => lower(level),
    }
}

fn lower(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG => "debug",
        tracing::Level::TRACE => "trace",
    }
}

struct Format {
    json: bool,
    color: bool,
    own_crates: &'static [&'static str],
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = rfc3339(std::time::SystemTime::now());
        let level = *event.metadata().level();
        let scope = scope_of(event.metadata().target(), self.own_crates);
        if self.json {
            write!(out, "{{\"level\":\"{}\",\"time\":\"{time}\",\"scope\":", lower(level))?;
            write_json_string(&mut out, scope)?;
            out.write_str(",\"msg\":")?;
            write_json_string(&mut out, &fields.message)?;
            for (key, value) in &fields.rest {
                write!(out, ",\"{key}\":")?;
                write_json_string(&mut out, value)?;
            }
            return writeln!(out, "}}");
        }
        let (on, off) = match (self.color, level) {
            (true, tracing::Level::ERROR) => ("\x1b[31m", "\x1b[0m"),
            (true, tracing::Level::WARN) => ("\x1b[33m", "\x1b[0m"),
            _ => ("", ""),
        };
        write!(out, "{time}\t{on}{}{off}\t{scope}\t{}", lower(level), fields.message)?;
        for (key, value) in &fields.rest {
            write!(out, "\t{key}={value}")?;
        }
        writeln!(out)
    }
}

/// The fields of one event as text.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.rest.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.rest.push((name, format!("{value:?}"))),
        }
    }
}

fn write_json_string(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

/// UTC with microseconds, for example `2026-11-20T08:30:00.000001Z`. Times before 1970 print as 1970.
pub fn rfc3339(time: std::time::SystemTime) -> String {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days since 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn dates() {
        assert_eq!(rfc3339(UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
        let leap = UNIX_EPOCH + Duration::new(1_709_208_000, 5000);
        assert_eq!(rfc3339(leap), "2024-02-29T12:00:00.000005Z");
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(1_798_761_599)), "2026-12-31T23:59:59.000000Z");
    }

    #[test]
    fn levels_by_scope() {
        let levels = Levels::new("default:warn,xds:debug", &["pilot"]).unwrap();
        assert_eq!(levels.list()["default"], "warn");
        assert_eq!(levels.list()["xds"], "debug");
        levels.set("all", "error").unwrap();
        assert_eq!(levels.list(), BTreeMap::from([("default".to_owned(), "error")]));
        assert!(levels.set("xds", "loud").unwrap_err().contains("loud"));
    }

    #[test]
    fn scopes() {
        assert_eq!(scope_of("pilot::push::queue", &["pilot"]), "push");
        assert_eq!(scope_of("h2::codec", &["pilot"]), "h2");
        assert_eq!(scope_of("access", &["pilot"]), "access");
    }

    #[test]
    fn events_pass_by_level_and_format() {
        let levels = Levels::new("base:debug,default:error", &[]).unwrap();
        let lines = Arc::new(parking_lot::Mutex::new(Vec::<u8>::new()));
        struct Sink(Arc<parking_lot::Mutex<Vec<u8>>>);
        impl std::io::Write for Sink {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.0.lock().extend_from_slice(buf);
                Ok(buf.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let sink = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Format { json: true, color: false, own_crates: &[] })
            .with_writer(move || Sink(sink.clone()));
        let subscriber = tracing_subscriber::registry().with(layer).with(levels);
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(port = 15010, "list\"ening");
            tracing::info!(target: "other", "hidden");
        });
        let text = String::from_utf8(lines.lock().clone()).unwrap();
        assert!(text.contains("\"scope\":\"base\",\"msg\":\"list\\\"ening\",\"port\":\"15010\"}"), "{text}");
        assert!(!text.contains("hidden"));
    }
}
