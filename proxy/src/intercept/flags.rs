//! The flags of `istio-iptables`: one table with name, short form, default and further variables of each.
//!
//! In: words and environment. Out: the text of every flag: the command line's, else the environment's, else the
//! default. A flag's variable is its name in capitals, as in Istio. An unknown flag is an error.

use std::collections::BTreeMap;

use base::settings::Settings as Environment;

/// What a flag does here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Takes a value.
    Value,
    /// `--flag`, `--flag=false`
    Switch,
    /// As `Value` and `Switch`, but it means nothing: what it asks for is always so, or there is no such thing here.
    IdleValue,
    IdleSwitch,
}

struct Row {
    name: &'static str,
    short: &'static str,
    kind: Kind,
    default: &'static str,
    /// Variables beside the one of its own name.
    variables: &'static [&'static str],
}

const fn row(name: &'static str, short: &'static str, kind: Kind, default: &'static str) -> Row {
    Row { name, short, kind, default, variables: &[] }
}

const fn known_as(mut row: Row, variables: &'static [&'static str]) -> Row {
    row.variables = variables;
    row
}

const TABLE: &[Row] = &[
    row("envoy-port", "p", Kind::Value, "15001"),
    row("inbound-capture-port", "z", Kind::Value, "15006"),
    row("inbound-tunnel-port", "e", Kind::Value, "15008"),
    row("proxy-uid", "u", Kind::Value, ""),
    row("proxy-gid", "g", Kind::Value, ""),
    row("istio-inbound-interception-mode", "m", Kind::Value, ""),
    row("istio-inbound-tproxy-mark", "t", Kind::Value, "1337"),
    row("istio-inbound-tproxy-route-table", "r", Kind::Value, "133"),
    row("istio-inbound-ports", "b", Kind::Value, ""),
    row("istio-local-exclude-ports", "d", Kind::Value, ""),
    row("istio-exclude-interfaces", "c", Kind::Value, ""),
    row("istio-service-cidr", "i", Kind::Value, ""),
    row("istio-service-exclude-cidr", "x", Kind::Value, ""),
    row("istio-outbound-ports", "q", Kind::Value, ""),
    row("istio-local-outbound-ports-exclude", "o", Kind::Value, ""),
    row("kube-virt-interfaces", "k", Kind::Value, ""),
    row("dry-run", "n", Kind::Switch, "false"),
    row("iptables-probe-port", "", Kind::Value, "15002"),
    row("probe-timeout", "", Kind::Value, "5s"),
    row("skip-rule-apply", "", Kind::Switch, "false"),
    row("run-validation", "", Kind::Switch, "false"),
    known_as(row("redirect-dns", "", Kind::Switch, "false"), &["ISTIO_META_DNS_CAPTURE"]),
    known_as(row("drop-invalid", "", Kind::Switch, "false"), &["INVALID_DROP"]),
    row("capture-all-dns", "", Kind::Switch, "false"),
    row("cleanup-only", "", Kind::Switch, "false"),
    row("network-namespace", "", Kind::Value, ""),
    row("log_output_level", "", Kind::Value, "default:info"),
    row("log_as_json", "", Kind::Switch, "false"),
    row("help", "h", Kind::Switch, "false"),
    // Always so: rules are nftables', of both families, whole, and replace what was there.
    row("native-nftables", "", Kind::IdleSwitch, ""),
    known_as(row("dual-stack", "", Kind::IdleSwitch, ""), &["ISTIO_DUAL_STACK", "ISTIO_AGENT_DUAL_STACK"]),
    row("reconcile", "", Kind::IdleSwitch, ""),
    row("force-apply", "", Kind::IdleSwitch, ""),
    // There is no iptables program, lock or log here.
    row("force-iptables-binary", "", Kind::IdleValue, ""),
    row("iptables-version", "", Kind::IdleValue, ""),
    row("iptables-trace-logging", "", Kind::IdleSwitch, ""),
    row("restore-format", "f", Kind::IdleSwitch, ""),
    row("cni-mode", "", Kind::IdleSwitch, ""),
    row("host-nsenter-exec", "", Kind::IdleSwitch, ""),
    row("log_target", "", Kind::IdleValue, ""),
    row("log_caller", "", Kind::IdleValue, ""),
    row("log_stacktrace_level", "", Kind::IdleValue, ""),
    row("vklog", "", Kind::IdleValue, ""),
];

/// What `--help` prints.
pub(super) const HELP: &str = "\
Sends the traffic of this network namespace through the proxy, by nftables rules; needs the capability NET_ADMIN.
istio-clean-iptables removes what istio-iptables put in force.

  -p, --envoy-port 15001                        where outbound TCP goes
  -z, --inbound-capture-port 15006              where inbound TCP goes
  -e, --inbound-tunnel-port 15008               inbound port that is never taken
  -u, --proxy-uid 1337   -g, --proxy-gid 1337   users and groups whose traffic is left alone
  -m, --istio-inbound-interception-mode MODE    REDIRECT or TPROXY
  -t, --istio-inbound-tproxy-mark 1337          -r, --istio-inbound-tproxy-route-table 133
  -b, --istio-inbound-ports PORTS               inbound ports to take: * or a list; none if absent
  -d, --istio-local-exclude-ports PORTS         inbound ports to leave alone, where all are taken
  -i, --istio-service-cidr RANGES               destinations to take: * or a list; none if absent
  -x, --istio-service-exclude-cidr RANGES       destinations to leave alone
  -q, --istio-outbound-ports PORTS              destination ports to take whatever the address
  -o, --istio-local-outbound-ports-exclude PORTS   destination ports to leave alone
  -c, --istio-exclude-interfaces NAMES          links to leave alone
  -k, --kube-virt-interfaces NAMES              links of virtual machines: what arrives there is outbound
      --redirect-dns [--capture-all-dns]        DNS to port 15053: questions to the pod's resolvers, or to any
      --drop-invalid                            drop packets that belong to no connection
      --skip-rule-apply --run-validation        only test the rules (--iptables-probe-port 15002, --probe-timeout 5s)
      --cleanup-only                            remove the rules
  -n, --dry-run                                 print the rules (and write them to DRY_RUN_FILE_PATH)

Every flag but -p may come from the variable of its name in capitals. Further variables: ISTIO_OUTBOUND_OWNER_GROUPS,
ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE, ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR, ISTIO_META_DNS_CAPTURE, INVALID_DROP.
";

/// The text of every flag.
pub(super) struct Texts {
    values: BTreeMap<&'static str, String>,
    /// Flags that were given and mean nothing here.
    pub(super) idle: Vec<String>,
}

impl Texts {
    /// From words and environment.
    pub(super) fn read(words: &[String], env: &mut Environment) -> Result<Self, String> {
        let mut texts = Texts { values: BTreeMap::new(), idle: Vec::new() };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let (row, attached) = find(word)?;
            let takes = matches!(row.kind, Kind::Value | Kind::IdleValue);
            let value = match (takes, attached) {
                (_, Some(value)) => value.to_owned(),
                (false, None) => "true".to_owned(),
                (true, None) => rest.next().ok_or_else(|| format!("--{} needs a value", row.name))?.clone(),
            };
            if matches!(row.kind, Kind::IdleValue | Kind::IdleSwitch) {
                texts.idle.push(format!("--{}", row.name));
            } else {
                texts.values.insert(row.name, value);
            }
        }
        for row in TABLE.iter().filter(|row| matches!(row.kind, Kind::Value | Kind::Switch)) {
            if texts.values.contains_key(row.name) {
                continue;
            }
            let own = row.name.replace('-', "_").to_ascii_uppercase();
            // Kubernetes gives a pod a variable of that name for every service called `envoy`.
            let own = (row.name != "envoy-port").then_some(own);
            let names = own.iter().map(String::as_str).chain(row.variables.iter().copied());
            let found = names.filter_map(|name| env.text(name)).next();
            texts.values.insert(row.name, found.unwrap_or_else(|| row.default.to_owned()));
        }
        Ok(texts)
    }

    /// The text of a flag of the table.
    pub(super) fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |value| value.trim())
    }

    /// A switch.
    pub(super) fn is_set(&self, name: &str) -> Result<bool, String> {
        match self.get(name).to_ascii_lowercase().as_str() {
            "1" | "t" | "true" => Ok(true),
            "" | "0" | "f" | "false" => Ok(false),
            other => Err(format!("--{name}: {other:?} is neither true nor false")),
        }
    }
}

/// The row of a word, and what follows its `=` (or its short form).
fn find(word: &str) -> Result<(&'static Row, Option<&str>), String> {
    let unknown = || format!("unknown flag {word}; istio-iptables --help lists those that there are");
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let row = TABLE.iter().find(|row| row.name == name).ok_or_else(unknown)?;
        return Ok((row, value));
    }
    let short = word.strip_prefix('-').filter(|short| !short.is_empty()).ok_or_else(unknown)?;
    let row =
        TABLE.iter().find(|row| !row.short.is_empty() && short.starts_with(row.short)).ok_or_else(unknown)?;
    let attached = short.strip_prefix(row.short).filter(|rest| !rest.is_empty());
    Ok((row, attached.map(|rest| rest.strip_prefix('=').unwrap_or(rest))))
}
