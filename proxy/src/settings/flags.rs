//! The command line: one table of every flag of Envoy and of `pilot-agent proxy` that this program knows.
//!
//! In: arguments. Out: [`Flags`], or what is wrong with them. A flag without meaning here is accepted and listed in
//! [`Flags::ignored`], so that a start command written for either program works; an unknown flag is an error.

use std::collections::BTreeMap;
use std::time::Duration;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `-c FILE`: an Envoy bootstrap.
    Serve,
    /// `--mode validate`
    Validate,
    /// `sidecar` or `router`; with `--agent-only` only identity and SDS.
    Agent {
        role: String,
        only: bool,
    },
    /// `request METHOD PATH [BODY]`: asks the running proxy.
    Request {
        port: u16,
        method: String,
        path: String,
        body: String,
    },
    /// `wait`: until the running proxy is ready.
    Wait {
        url: String,
        timeout: Duration,
        period: Duration,
        patience: Duration,
    },
    Version,
    Help,
}

/// The parsed command line.
#[derive(Debug, Clone)]
pub struct Flags {
    pub command: Command,
    values: BTreeMap<&'static str, String>,
    /// Flags that were accepted and do nothing here.
    pub ignored: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Value,
    Nothing,
    /// `--flag`, `--flag=true`
    Maybe,
}

/// (name, short form, what it takes, does it mean anything here)
type Row = (&'static str, &'static str, Takes, bool);

const TABLE: &[Row] = &[
    ("config-path", "c", Takes::Value, true),
    ("config-yaml", "", Takes::Value, true),
    ("mode", "", Takes::Value, true),
    ("concurrency", "", Takes::Value, true),
    ("log-level", "l", Takes::Value, true),
    ("service-node", "", Takes::Value, true),
    ("service-cluster", "", Takes::Value, true),
    ("drain-time-s", "", Takes::Value, true),
    ("admin-address-path", "", Takes::Value, true),
    ("version", "v", Takes::Nothing, true),
    ("help", "h", Takes::Nothing, true),
    // Of pilot-agent.
    ("domain", "", Takes::Value, true),
    ("serviceCluster", "", Takes::Value, true),
    ("proxyLogLevel", "", Takes::Value, true),
    ("log_output_level", "", Takes::Value, true),
    ("log_as_json", "", Takes::Maybe, true),
    ("agent-only", "", Takes::Maybe, true),
    ("debug-port", "", Takes::Value, true),
    ("url", "", Takes::Value, true),
    ("timeoutSeconds", "", Takes::Value, true),
    ("periodMillis", "", Takes::Value, true),
    ("requestTimeoutMillis", "", Takes::Value, true),
    // Without meaning here: hot restart, Envoy's own logging, limits of its parser.
    ("base-id", "", Takes::Value, false),
    ("base-id-path", "", Takes::Value, false),
    ("use-dynamic-base-id", "", Takes::Nothing, false),
    ("restart-epoch", "", Takes::Value, false),
    ("parent-shutdown-time-s", "", Takes::Value, false),
    ("disable-hot-restart", "", Takes::Nothing, false),
    ("hot-restart-version", "", Takes::Nothing, false),
    ("skip-hot-restart-on-no-parent", "", Takes::Nothing, false),
    ("skip-hot-restart-parent-stats", "", Takes::Nothing, false),
    ("socket-path", "", Takes::Value, false),
    ("socket-mode", "", Takes::Value, false),
    ("drain-strategy", "", Takes::Value, false),
    ("local-address-ip-version", "", Takes::Value, false),
    ("bootstrap-version", "", Takes::Value, false),
    ("component-log-level", "", Takes::Value, false),
    ("log-path", "", Takes::Value, false),
    ("log-format", "", Takes::Value, false),
    ("log-format-escaped", "", Takes::Nothing, false),
    ("enable-fine-grain-logging", "", Takes::Nothing, false),
    ("file-flush-interval-msec", "", Takes::Value, false),
    ("file-flush-min-size-kb", "", Takes::Value, false),
    ("service-zone", "", Takes::Value, false),
    ("reject-unknown-dynamic-fields", "", Takes::Nothing, false),
    ("allow-unknown-static-fields", "", Takes::Nothing, false),
    ("allow-unknown-fields", "", Takes::Nothing, false),
    ("ignore-unknown-dynamic-fields", "", Takes::Nothing, false),
    ("skip-deprecated-logs", "", Takes::Nothing, false),
    ("disable-extensions", "", Takes::Value, false),
    ("cpuset-threads", "", Takes::Nothing, false),
    ("enable-mutex-tracing", "", Takes::Nothing, false),
    ("enable-core-dump", "", Takes::Nothing, false),
    ("stats-tag", "", Takes::Value, false),
    ("proxyComponentLogLevel", "", Takes::Value, false),
    ("meshConfig", "", Takes::Value, false),
    ("templateFile", "", Takes::Value, false),
    ("outlierLogPath", "", Takes::Value, false),
    ("profiling", "", Takes::Maybe, false),
    ("stsPort", "", Takes::Value, false),
    ("tokenManagerPlugin", "", Takes::Value, false),
    ("log_target", "", Takes::Value, false),
    ("log_caller", "", Takes::Value, false),
    ("log_stacktrace_level", "", Takes::Value, false),
];

/// What `--help` prints.
pub const HELP: &str = "\
The data-plane proxy.

  proxy sidecar|router [flags]      beside a workload, or a gateway, of a mesh (arguments of pilot-agent proxy)
  proxy -c FILE [flags]             from an Envoy bootstrap file (YAML or JSON)
  proxy request METHOD PATH [BODY]  asks the admin port of the running proxy (--debug-port, default 15000)
  proxy wait                        returns when the running proxy is ready (--url, --timeoutSeconds)
  proxy istio-iptables [flags]      sends a pod's traffic through the proxy; istio-clean-iptables ends that (--help)

  -c, --config-path FILE   Envoy bootstrap        --config-yaml TEXT    laid over the file
      --mode MODE          serve or validate      --concurrency N       worker threads
  -l, --log-level LEVEL    trace to off           --log_output_level L  default:info,xds:debug
      --service-node ID    --service-cluster NAME --drain-time-s N      --admin-address-path FILE
      --agent-only         identity and SDS on a Unix socket, for a stock Envoy
Further flags of Envoy and of pilot-agent are accepted; the log names those that do nothing here.
";

/// Parses the arguments after the program's name.
pub fn parse(arguments: &[String]) -> Result<Flags, String> {
    let mut values = BTreeMap::new();
    let mut ignored = Vec::new();
    let mut words = Vec::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let Some((row, attached)) = flag(argument)? else {
            words.push(argument.as_str());
            continue;
        };
        let (name, _, takes, used) = *row;
        let value = match (takes, attached) {
            (Takes::Nothing, Some(_)) => return Err(format!("--{name} takes no value")),
            (Takes::Nothing, None) | (Takes::Maybe, None) => "true".to_owned(),
            (Takes::Value, None) => rest.next().ok_or_else(|| format!("--{name} needs a value"))?.clone(),
            (Takes::Value | Takes::Maybe, Some(value)) => value.to_owned(),
        };
        if used {
            values.insert(name, value);
        } else {
            ignored.push(argument.clone());
        }
    }
    let mut flags = Flags { command: Command::Serve, values, ignored };
    flags.command = flags.command(&words)?;
    Ok(flags)
}

/// The row of an argument and the value after `=`; none for plain words.
fn flag(argument: &str) -> Result<Option<(&'static Row, Option<&str>)>, String> {
    let unknown = || format!("unknown flag {argument}; --help lists those that mean something");
    if let Some(long) = argument.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let row = TABLE.iter().find(|(known, ..)| *known == name).ok_or_else(unknown)?;
        return Ok(Some((row, value)));
    }
    match argument.strip_prefix('-') {
        Some(short) if !short.is_empty() => {
            let row = TABLE.iter().find(|(_, known, ..)| *known == short).ok_or_else(unknown)?;
            Ok(Some((row, None)))
        }
        _ => Ok(None),
    }
}

impl Flags {
    /// The text of a flag, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Levels in the form of `--log_output_level`; Envoy's `-l` counts where that is absent. Default `info`.
    pub fn log_levels(&self) -> String {
        let given = self.get("log_output_level").or(self.get("log-level")).or(self.get("proxyLogLevel"));
        given.unwrap_or("info").to_owned()
    }

    /// A number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, String> {
        self.get(name)
            .map(|text| text.parse().map_err(|_| format!("--{name}: {text:?} is no number")))
            .transpose()
    }

    /// True if given (and not `false`).
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|text| text != "false")
    }

    fn command(&self, words: &[&str]) -> Result<Command, String> {
        if self.is_set("help") {
            return Ok(Command::Help);
        }
        if self.is_set("version") {
            return Ok(Command::Version);
        }
        // `pilot-agent proxy sidecar`: the image's entry point names the subcommand too.
        let words = if words.first() == Some(&"proxy") { words.get(1..).unwrap_or_default() } else { words };
        match words {
            [] => self.serve(),
            [role @ ("sidecar" | "router")] => {
                Ok(Command::Agent { role: (*role).into(), only: self.is_set("agent-only") })
            }
            ["request", method, path, body @ ..] => {
                let port = self.number("debug-port")?.unwrap_or(15000);
                Ok(Command::Request {
                    port: u16::try_from(port).map_err(|_| format!("--debug-port: {port} is no port"))?,
                    method: (*method).into(),
                    path: (*path).into(),
                    body: body.join(" "),
                })
            }
            ["wait"] => Ok(Command::Wait {
                url: self.get("url").unwrap_or("http://localhost:15021/healthz/ready").into(),
                timeout: Duration::from_secs(self.number("timeoutSeconds")?.unwrap_or(60)),
                period: Duration::from_millis(self.number("periodMillis")?.unwrap_or(500)),
                patience: Duration::from_millis(self.number("requestTimeoutMillis")?.unwrap_or(500)),
            }),
            ["version"] => Ok(Command::Version),
            ["help"] => Ok(Command::Help),
            other => Err(format!("unknown command {:?}; --help says what there is", other.join(" "))),
        }
    }

    fn serve(&self) -> Result<Command, String> {
        if self.get("config-path").is_none() && self.get("config-yaml").is_none() {
            return Err("nothing to do: name a role (sidecar or router) or a bootstrap file (-c FILE)".into());
        }
        match self.get("mode").unwrap_or("serve") {
            "serve" => Ok(Command::Serve),
            "validate" => Ok(Command::Validate),
            other => Err(format!("--mode {other}: serve and validate are known")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Flags, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn envoy_style() {
        let flags = run("-c /etc/e.yaml --concurrency=2 -l debug --base-id 7 --use-dynamic-base-id").unwrap();
        assert_eq!(flags.command, Command::Serve);
        assert_eq!(flags.get("config-path"), Some("/etc/e.yaml"));
        assert_eq!(flags.number("concurrency"), Ok(Some(2)));
        assert_eq!(flags.ignored, ["--base-id", "--use-dynamic-base-id"]);
        assert_eq!(run("--config-yaml {} --mode validate").unwrap().command, Command::Validate);
    }

    #[test]
    fn agent_style() {
        let flags =
            run("proxy sidecar --domain default.svc.cluster.local --proxyLogLevel=warning --log_as_json")
                .unwrap();
        assert_eq!(flags.command, Command::Agent { role: "sidecar".into(), only: false });
        assert!(flags.is_set("log_as_json"));
        assert_eq!(
            run("router --agent-only").unwrap().command,
            Command::Agent { role: "router".into(), only: true }
        );
        let Command::Request { port, path, .. } =
            run("request --debug-port=15020 POST drain").unwrap().command
        else {
            panic!()
        };
        assert_eq!((port, path.as_str()), (15020, "drain"));
    }

    #[test]
    fn mistakes() {
        for (line, why) in [
            ("--nope", "unknown flag --nope"),
            ("-x", "unknown flag -x"),
            ("-c", "needs a value"),
            ("", "nothing to do"),
            ("sidecar now", "unknown command"),
            ("-c f --concurrency two", ""),
            ("-c f --mode init", "serve and validate"),
            ("--use-dynamic-base-id=1 -c f", "takes no value"),
        ] {
            match run(line) {
                Err(error) => assert!(error.contains(why), "{line}: {error}"),
                Ok(flags) => assert!(why.is_empty() && flags.number("concurrency").is_err(), "{line}"),
            }
        }
    }
}
