//! What this process uses, as Prometheus text: processor time, memory, open files.
//!
//! In: `/proc/self`. Out: families under the names that every Prometheus client library gives them, behind a prefix where
//! a page tells of several programs. Called by [`crate::metrics`] and by whoever writes a page of its own. What cannot
//! be read is left out; reading costs some ten microseconds, at each scrape.

use std::fmt::Write;

/// Kinds of clock ticks in `/proc/self/stat`: the kernel shows 100 per second to every program.
const TICKS: f64 = 100.0;

/// `PREFIXprocess_cpu_seconds_total` and its siblings.
pub fn prometheus(prefix: &str) -> String {
    let mut out = String::new();
    let mut put = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let name = format!("{prefix}process_{name}");
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
                .expect("writing to a string cannot fail");
        }
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields are counted from behind the program's name, which may hold anything; the first one here is the third.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS);
    put("cpu_seconds_total", "counter", "Processor time used, in seconds", cpu);
    put("virtual_memory_bytes", "gauge", "Virtual memory size, in bytes", field(23));
    put("resident_memory_bytes", "gauge", "Resident memory size, in bytes", resident());
    put("threads", "gauge", "Threads", field(20));
    let started = boot().zip(field(22)).map(|(boot, ticks)| boot + ticks / TICKS);
    put("start_time_seconds", "gauge", "When it started, in seconds since the epoch", started);
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    put("open_fds", "gauge", "Open file descriptors", open);
    put("max_fds", "gauge", "Most file descriptors that may be open", most_files());
    out
}

/// `VmRSS`, which the kernel counts in units of 1024 bytes.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|units| units * 1024.0)
}

/// When the machine started, in seconds since the epoch.
fn boot() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn most_files() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    #[test]
    fn numbers_of_this_process() {
        let text = prometheus("");
        assert!(value(&text, "process_resident_memory_bytes") > 100_000.0);
        assert!(
            value(&text, "process_virtual_memory_bytes") >= value(&text, "process_resident_memory_bytes")
        );
        assert!(value(&text, "process_open_fds") >= 3.0);
        assert!(value(&text, "process_max_fds") >= value(&text, "process_open_fds"));
        assert!(value(&text, "process_threads") >= 1.0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let started = value(&text, "process_start_time_seconds");
        assert!(started > 0.0 && started < now + 2.0, "{started} {now}");
        assert!(prometheus("own_").contains("# TYPE own_process_cpu_seconds_total counter\n"));
    }
}
