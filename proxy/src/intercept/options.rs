//! From the texts of flags to what shall be done.
//!
//! In: [`Texts`], the environment, the pod's `resolv.conf`. Out: [`Options`], or every mistake with the flag that it is
//! in. Reads files, changes nothing.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use base::net::Interception;
use base::net::intercept::{Groups, Mode, Own};
use base::net::nft::Interface;
use base::settings::{Settings as Environment, parse_duration};

use super::flags::Texts;
use crate::dns::resolv_conf;

/// User and group of the proxy in a pod.
const PROXY: u32 = 1337;
/// Where the proxy answers DNS questions.
const DNS: u16 = 15053;
/// As many as Istio takes.
const MAX_GROUPS: usize = 64;

/// What shall be done.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) rules: Interception,
    pub(super) dry_run: bool,
    /// `DRY_RUN_FILE_PATH`
    pub(super) dry_run_file: Option<PathBuf>,
    pub(super) skip_apply: bool,
    pub(super) validate: bool,
    pub(super) clean_only: bool,
    pub(super) probe_port: u16,
    pub(super) probe_timeout: Duration,
    /// Mark and table of transparent mode, also where the mode is another: what is removed.
    pub(super) kept: (u32, u32),
    /// Worth a line in the log.
    pub(super) notes: Vec<String>,
}

/// Gathers mistakes.
struct Reader<'a> {
    texts: &'a Texts,
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn value<T: FromStr + Default>(&mut self, flag: &str) -> T
    where
        T::Err: Display,
    {
        let text = self.texts.get(flag);
        text.parse().unwrap_or_else(|error| {
            self.wrong.push(format!("--{flag}: {text:?}: {error}"));
            T::default()
        })
    }

    fn switch(&mut self, flag: &str) -> bool {
        self.texts.is_set(flag).unwrap_or_else(|error| {
            self.wrong.push(error);
            false
        })
    }

    fn list<T>(&mut self, flag: &str, one: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let mut list = Vec::new();
        for word in self.texts.get(flag).split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match one(word) {
                Ok(value) => list.push(value),
                Err(error) => self.wrong.push(format!("--{flag}: {error}")),
            }
        }
        list
    }

    /// `None`: `*`.
    fn list_or_all<T>(&mut self, flag: &str, one: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        if self.texts.get(flag) == "*" { None } else { Some(self.list(flag, one)) }
    }
}

impl Options {
    /// Everything, or every mistake on a line of its own. `root`: where the pod's files are, `/` but for tests.
    pub(super) fn read(texts: &Texts, env: &mut Environment, root: &Path) -> Result<Self, String> {
        let mut read = Reader { texts, wrong: Vec::new() };
        let mut notes = Vec::new();
        if !texts.idle.is_empty() {
            notes.push(format!("these flags mean nothing here: {}", texts.idle.join(" ")));
        }
        if !texts.get("network-namespace").is_empty() {
            read.wrong.push(
                "--network-namespace: rules are set in the caller's namespace only; enter it first".into(),
            );
        }
        let kept = (read.value("istio-inbound-tproxy-mark"), read.value("istio-inbound-tproxy-route-table"));
        let mut rules = rules(&mut read, env, root, kept);
        if read.switch("redirect-dns") {
            dns(&mut read, &mut rules, &mut notes, root);
        }
        let options = Options {
            rules,
            dry_run: read.switch("dry-run"),
            dry_run_file: env.text("DRY_RUN_FILE_PATH").map(PathBuf::from),
            skip_apply: read.switch("skip-rule-apply"),
            validate: read.switch("run-validation"),
            clean_only: read.switch("cleanup-only"),
            probe_port: read.value("iptables-probe-port"),
            probe_timeout: parse_duration(texts.get("probe-timeout")).unwrap_or_else(|error| {
                read.wrong.push(format!("--probe-timeout: {error}"));
                Duration::ZERO
            }),
            kept,
            notes,
        };
        if read.wrong.is_empty() { Ok(options) } else { Err(read.wrong.join("\n")) }
    }
}

fn rules(read: &mut Reader<'_>, env: &mut Environment, root: &Path, kept: (u32, u32)) -> Interception {
    let mode = match read.texts.get("istio-inbound-interception-mode") {
        "" | "REDIRECT" => Mode::Redirect,
        "TPROXY" => Mode::Transparent { mark: kept.0, table: kept.1 },
        other => {
            let flag = "--istio-inbound-interception-mode";
            read.wrong.push(format!("{flag}: {other:?} is neither REDIRECT nor TPROXY"));
            Mode::Redirect
        }
    };
    let mut users = read.list("proxy-uid", number);
    if users.is_empty() {
        users.push(PROXY);
    }
    let mut groups = read.list("proxy-gid", number);
    if groups.is_empty() {
        groups.clone_from(&users);
    }
    if read.texts.get("istio-service-exclude-cidr") == "*" {
        read.wrong
            .push("--istio-service-exclude-cidr: * would leave everything alone; omit -i for that".into());
    }
    Interception {
        outbound: read.value("envoy-port"),
        inbound: read.value("inbound-capture-port"),
        tunnel: read.value("inbound-tunnel-port"),
        mode,
        own: Own::Owners { users, groups },
        groups: owner_groups(read, env, root),
        include_inbound: read.list_or_all("istio-inbound-ports", port),
        exclude_inbound: read.list("istio-local-exclude-ports", port),
        include_outbound: read.list("istio-outbound-ports", port),
        exclude_outbound: read.list("istio-local-outbound-ports-exclude", port),
        include_ranges: read.list_or_all("istio-service-cidr", range),
        exclude_ranges: match read.texts.get("istio-service-exclude-cidr") {
            "*" => Vec::new(),
            _ => read.list("istio-service-exclude-cidr", range),
        },
        exclude_interfaces: read.list("istio-exclude-interfaces", interface),
        virtual_interfaces: read.list("kube-virt-interfaces", interface),
        loopback: loopback(read, env),
        drop_invalid: read.switch("drop-invalid"),
        ..Interception::default()
    }
}

fn dns(read: &mut Reader<'_>, rules: &mut Interception, notes: &mut Vec<String>, root: &Path) {
    rules.dns = Some(DNS);
    rules.all_resolvers = read.switch("capture-all-dns");
    if rules.all_resolvers {
        return;
    }
    let path = root.join("etc/resolv.conf");
    match std::fs::read_to_string(&path) {
        Ok(text) => rules.resolvers = resolv_conf(&text).0.iter().map(|address| address.ip()).collect(),
        Err(error) => read.wrong.push(format!("--redirect-dns: {}: {error}", path.display())),
    }
    if rules.resolvers.is_empty() {
        rules.dns = None;
        notes.push(format!("DNS is left alone: {} names no resolver", path.display()));
    }
}

fn owner_groups(read: &mut Reader<'_>, env: &mut Environment, root: &Path) -> Groups {
    let include = env.text("ISTIO_OUTBOUND_OWNER_GROUPS").unwrap_or_else(|| "*".into());
    let all = include.trim() == "*";
    let exclude = env.text("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE").unwrap_or_default();
    let (variable, text) = if all {
        ("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", exclude)
    } else {
        ("ISTIO_OUTBOUND_OWNER_GROUPS", include)
    };
    let mut groups = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match group(word, root) {
            Ok(group) => groups.push(group),
            Err(error) => read.wrong.push(format!("{variable}: {error}")),
        }
    }
    if groups.len() > MAX_GROUPS {
        read.wrong.push(format!("{variable}: {} groups, at most {MAX_GROUPS}", groups.len()));
    }
    if all { Groups::AllBut(groups) } else { Groups::Only(groups) }
}

/// A group by number, or by its name where the image has a list of them.
fn group(word: &str, root: &Path) -> Result<u32, String> {
    if let Ok(number) = word.parse() {
        return Ok(number);
    }
    let list = std::fs::read_to_string(root.join("etc/group")).unwrap_or_default();
    let found = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(word)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    found.ok_or_else(|| format!("{word:?} is no group that this image knows; give its number"))
}

fn loopback(read: &mut Reader<'_>, env: &mut Environment) -> (Ipv4Addr, u8) {
    let usual = (Ipv4Addr::LOCALHOST, 32);
    let Some(text) = env.text("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR") else { return usual };
    match range(&text) {
        Ok((IpAddr::V4(address), length)) if address.is_loopback() && length >= 8 => (address, length),
        _ => {
            read.wrong.push(format!("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: {text:?} is no part of 127.0.0.0/8"));
            usual
        }
    }
}

fn number(word: &str) -> Result<u32, String> {
    word.parse().map_err(|_| format!("{word:?} is no number"))
}

fn port(word: &str) -> Result<u16, String> {
    word.parse().map_err(|_| format!("{word:?} is no port"))
}

fn interface(word: &str) -> Result<Interface, String> {
    Interface::new(word).ok_or_else(|| format!("{word:?} is no name of an interface"))
}

fn range(word: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("{word:?} is no address range");
    let (address, length) = word.split_once('/').unwrap_or((word, ""));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = if length.is_empty() { full } else { length.parse().map_err(|_| wrong())? };
    if length > full { Err(wrong()) } else { Ok((address, length)) }
}
