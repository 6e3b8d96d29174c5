//! What the proxies hold: memory over time, and open descriptors, connections and tasks before and after.
//!
//! In: the mesh. Out: [`Memory`] and [`Open`], which print and judge themselves. Read from `/proc` and from the proxies' own
//! gauges; pods that came or went during the run are left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use e2e::driven::Driven as _;
use e2e::laptop::Laptop;
use e2e::until::eventually;

const EVERY: Duration = Duration::from_secs(1);
/// Windows of the run whose medians are compared: a moment's buffers are no growth.
const WINDOWS: usize = 20;
/// Gauges that tell of connections and tasks.
const GAUGES: [&str; 3] = ["server.total_connections", "server.tasks", ".upstream_cx_active"];

/// Resident memory of every program over time, in KiB.
#[derive(Default)]
pub(crate) struct Memory(BTreeMap<String, Vec<u64>>);

/// The programs that are watched: name and process.
fn programs(mesh: &Laptop) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for (pid, environment) in mesh.processes("proxy") {
        let pod = environment.iter().find_map(|line| line.strip_prefix("POD_NAME="));
        found.insert(pod.unwrap_or("?").to_owned(), pid);
    }
    found.extend(mesh.processes("pilot").into_iter().map(|(pid, _)| ("pilot".to_owned(), pid)));
    found
}

fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Memory {
    /// Samples until told to stop. What ends meanwhile is forgotten.
    pub(crate) fn watch(mesh: Arc<Laptop>, stop: Arc<AtomicBool>) -> JoinHandle<Memory> {
        thread::spawn(move || {
            let all = programs(&mesh);
            let mut samples: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            while !stop.load(Ordering::Relaxed) {
                for (name, pid) in &all {
                    samples.entry(name.clone()).or_default().extend(resident(*pid));
                }
                thread::sleep(EVERY);
            }
            let longest = samples.values().map(Vec::len).max().unwrap_or_default();
            samples.retain(|_, list| list.len() == longest);
            Memory(samples)
        })
    }

    /// Medians of equal parts of the run.
    fn windows(samples: &[u64], count: usize) -> Vec<u64> {
        let size = (samples.len() / count).max(1);
        let median = |part: &[u64]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part[part.len() / 2]
        };
        samples.chunks(size).map(median).collect()
    }

    fn growth(samples: &[u64]) -> f64 {
        let windows = Self::windows(samples, WINDOWS);
        let second = &windows[windows.len() / 2..];
        let (first, most) = (second[0], *second.iter().max().unwrap());
        #[expect(clippy::cast_precision_loss)]
        let percent = (most as f64 / first as f64 - 1.0) * 100.0;
        percent
    }

    /// MiB at the start and after each quarter, and the growth in the second half.
    pub(crate) fn print(&self) {
        println!(
            "resident MiB at quarters{:>14}{:>8}{:>8}{:>8}{:>8}  second half",
            "0", "1/4", "1/2", "3/4", "1"
        );
        for (name, samples) in &self.0 {
            let windows = Self::windows(samples, WINDOWS);
            let last = windows.len() - 1;
            let at: String = (0..=4)
                .map(|quarter| format!("{:>8.1}", windows[last * quarter / 4] as f64 / 1024.0))
                .collect();
            println!("  {name:<30}{at}  {:>+6.1} %", Self::growth(samples));
        }
    }

    /// Fails when a proxy grew by more than so many percent in the second half.
    pub(crate) fn judge(&self, allowed: f64) {
        let proxies = self.0.iter().filter(|(name, _)| *name != "pilot");
        let grown: Vec<String> = proxies
            .map(|(name, samples)| (name, Self::growth(samples)))
            .filter(|(_, growth)| *growth > allowed)
            .map(|(name, growth)| format!("{name} {growth:+.1} %"))
            .collect();
        assert!(self.0.len() > 2, "there were proxies to watch");
        assert!(grown.is_empty(), "grew by more than {allowed} % in the second half: {}", grown.join(", "));
    }
}

/// Open descriptors, connections and tasks of each proxy while nobody asks anything.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Open(BTreeMap<String, BTreeMap<String, u64>>);

impl Open {
    fn now(mesh: &Laptop) -> Self {
        let mut all = BTreeMap::new();
        for (pod, pid) in programs(mesh) {
            if pod == "pilot" {
                continue;
            }
            let mut row = BTreeMap::new();
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count);
            row.insert("descriptors".to_owned(), files.unwrap_or_default() as u64);
            let namespace = if pod.starts_with("istio-") { "istio-system" } else { "default" };
            let mut ask = vec!["exec", "-n", namespace, &pod, "-c", "istio-proxy", "--"];
            ask.extend(["pilot-agent", "request", "GET", "stats"]);
            let output = mesh.meshctl(&ask);
            // A pod that is ending is none any more.
            if !output.success {
                continue;
            }
            for line in output.stdout.lines() {
                let Some((name, value)) = line.split_once(": ") else { continue };
                for gauge in GAUGES.iter().filter(|gauge| name.ends_with(*gauge)) {
                    *row.entry(gauge.trim_start_matches('.').to_owned()).or_default() +=
                        value.parse().unwrap_or(0);
                }
            }
            all.insert(pod, row);
        }
        Open(all)
    }

    /// Once they are at rest: two looks that agree, or that are no more than `before`.
    pub(crate) fn settled(mesh: &Laptop, before: Option<&Open>) -> Self {
        let mut last = Self::now(mesh);
        for _ in 0..60 {
            thread::sleep(EVERY);
            let now = Self::now(mesh);
            let done = match before {
                Some(before) => before.exceeded_by(&now).is_empty(),
                None => now == last,
            };
            last = now;
            if done {
                break;
            }
        }
        last
    }

    fn exceeded_by(&self, after: &Open) -> Vec<String> {
        let mut more = Vec::new();
        for (pod, row) in &self.0 {
            let Some(now) = after.0.get(pod) else { continue };
            for (what, count) in row {
                let value = now.get(what).copied().unwrap_or_default();
                if value > *count {
                    more.push(format!("{pod}: {what} {count} -> {value}"));
                }
            }
        }
        more
    }

    /// Both, side by side.
    pub(crate) fn print(&self, after: &Open) {
        println!("at rest, before and after");
        for (pod, row) in &self.0 {
            let Some(now) = after.0.get(pod) else { continue };
            let each: Vec<String> = row
                .iter()
                .map(|(what, count)| format!("{what} {count} -> {}", now.get(what).unwrap_or(&0)))
                .collect();
            println!("  {pod:<30}  {}", each.join(", "));
        }
    }

    /// Fails when anything is left open.
    pub(crate) fn judge(&self, after: &Open) {
        let both = self.0.keys().filter(|pod| after.0.contains_key(*pod));
        assert!(both.count() > 2, "there are proxies that were there from the start: {after:?}");
        let more = self.exceeded_by(after);
        assert!(more.is_empty(), "left open: {}", more.join("; "));
    }
}

/// What the client's proxy counted of requests that did not end well, by their labels.
pub(crate) fn failures(mesh: &Laptop) -> String {
    let told = mesh.metrics("curl");
    let failed =
        |line: &&str| line.starts_with("istio_requests_total{") && !line.contains("response_code=\"200\"");
    told.lines().filter(failed).map(|line| format!("{line}\n")).collect()
}

/// The client's own certificate, as its proxy shows it.
pub(crate) fn certificate(mesh: &Laptop) -> String {
    let pod = mesh.pods("app=curl").remove(0);
    eventually("the certificate is shown", || {
        let text = mesh.ok(&["proxy-config", "secret", &pod, "-o", "json"]);
        let page: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let secrets = page["dynamicActiveSecrets"].as_array().ok_or("no secrets")?;
        let own = secrets.iter().find(|secret| secret["name"] == "default").ok_or("no certificate")?;
        Ok::<_, String>(own["secret"]["tlsCertificate"]["certificateChain"].to_string())
    })
}
