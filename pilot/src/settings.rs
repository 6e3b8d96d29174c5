//! pilot's settings: flags under the names that istiod's have, and the environment variables that tune it.
//!
//! In: the command line, the environment. Out: [`Settings`], read once by `app`. `pilot --help` shows the defaults.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};

use crate::world::Home;

/// The configuration server of the mesh: reads objects, tells proxies what they mean.
#[derive(Clone, Debug, Parser)]
#[command(name = "pilot", version, about, disable_help_subcommand = true)]
pub struct Settings {
    /// Directory of Istio and Kubernetes objects in YAML or JSON, read with its subfolders and watched; without it
    /// objects come from a cluster
    #[arg(long, alias = "configDir", value_name = "DIR", conflicts_with = "kubeconfig")]
    pub config_dir: Option<PathBuf>,

    /// How to reach the cluster; without it pilot uses the service account of its pod
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace of the mesh's settings
    #[arg(long, env = "POD_NAMESPACE", default_value = "istio-system")]
    pub namespace: String,

    /// A kubeconfig that is used if it is there: istiod's chart mounts one for a control plane outside of its cluster
    #[arg(long, env = "KUBECONFIG", hide = true)]
    pub mounted_kubeconfig: Option<String>,

    /// Directory of the certificate authority: root certificate and key, made on the first start; without it
    /// ROOT_CA_DIR counts, then the Secret istio-ca-secret of the cluster
    #[arg(long, value_name = "DIR")]
    pub ca_dir: Option<PathBuf>,

    /// Directory of an authority of your own, which istiod's chart mounts from the Secret cacerts
    #[arg(long, env = "ROOT_CA_DIR", value_name = "DIR", default_value = "./etc/cacerts")]
    pub root_ca_dir: PathBuf,

    /// Whether a key of pilot's own making goes into the Secret cacerts, unless istio-ca-secret is there
    #[arg(long, env = "USE_CACERTS_FOR_SELF_SIGNED_CA", default_value = "false", action = ArgAction::Set,
        value_parser = truth, hide = true)]
    pub use_cacerts: bool,

    /// How often the root of the Secret istio-ca-secret is looked at for renewal; 0 is never
    #[arg(long, env = "CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", default_value = "1h", value_parser = duration)]
    pub root_check_interval: Duration,

    /// Percentage of that root's life, from its end, in which it is renewed
    #[arg(long, env = "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE", default_value_t = 20,
        value_parser = clap::value_parser!(u8).range(0..=100))]
    pub root_grace: u8,

    /// JSON Web Key Set that service-account tokens are checked against; without it only certificates authenticate
    #[arg(long, value_name = "FILE")]
    pub jwks: Option<PathBuf>,

    /// Address of xDS and the CA without TLS
    #[arg(long = "grpcAddr", alias = "grpc-addr", default_value = ":15010", value_parser = address)]
    pub grpc: SocketAddr,

    /// Address of xDS and the CA with TLS; a client certificate is optional
    #[arg(long = "secureGRPCAddr", alias = "secure-grpc-addr", default_value = ":15012", value_parser = address)]
    pub secure_grpc: SocketAddr,

    /// Address of /ready and /debug
    #[arg(long = "httpAddr", alias = "http-addr", default_value = ":8080", value_parser = address)]
    pub http: SocketAddr,

    /// Address of /metrics, /version and /debug
    #[arg(long = "monitoringAddr", alias = "monitoring-addr", default_value = ":15014", value_parser = address)]
    pub monitoring: SocketAddr,

    /// Port of 127.0.0.1 on which log levels are shown and changed (ControlZ); 0: none
    #[arg(long = "ctrlz_port", alias = "ctrlz-port", default_value_t = 9876)]
    pub control_port: u16,

    /// DNS names of pilot's own certificate, beside those of its services
    #[arg(long, env = "ISTIOD_CUSTOM_HOST", value_delimiter = ',', value_name = "NAME")]
    pub names: Vec<String>,

    /// First part of SPIFFE ids, until mesh settings say otherwise
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,

    /// Name of this replica, by which it is elected
    #[arg(long, env = "POD_NAME", default_value_t = nameless())]
    pub pod_name: String,

    /// Whether replicas elect who writes into the cluster; false where there is one
    #[arg(long, env = "ENABLE_LEADER_ELECTION", default_value = "true", action = ArgAction::Set,
        value_parser = truth, hide = true)]
    pub elects: bool,

    /// Whether what is wrong with objects is written into their statuses
    #[arg(long, env = "PILOT_ENABLE_ANALYSIS", default_value = "false", action = ArgAction::Set,
        value_parser = truth, hide = true)]
    pub analysis: bool,

    /// How often those statuses are looked at
    #[arg(long, env = "PILOT_ANALYSIS_INTERVAL", default_value = "10s", value_parser = duration, hide = true)]
    pub analysis_interval: Duration,

    /// Name of the ConfigMap in every namespace with the roots to trust
    #[arg(long, env = "PILOT_CA_CERT_CONFIGMAP", default_value = "istio-ca-root-cert", hide = true)]
    pub roots_config_map: String,

    /// Audience of the tokens of proxies, if it is none of TOKEN_AUDIENCES
    #[arg(long, env = "AUDIENCE", default_value = "", hide_default_value = true)]
    pub audience: String,

    /// Name of the cluster, which proxies give as theirs
    #[arg(long, env = "CLUSTER_ID", default_value = "Kubernetes")]
    pub cluster_id: String,

    /// Whether clients of xDS over TLS must show a certificate or a token
    #[arg(long, env = "XDS_AUTH", default_value = "true", action = ArgAction::Set, value_parser = truth)]
    pub xds_auth: bool,

    /// Whether such a client may only be a proxy of its own namespace and service account
    #[arg(long, env = "PILOT_ENABLE_XDS_IDENTITY_CHECK", default_value = "true", action = ArgAction::Set,
        value_parser = truth)]
    pub xds_identity_check: bool,

    /// Percentage of requests that are traced where mesh settings and Telemetry say nothing
    #[arg(long, env = "PILOT_TRACE_SAMPLING", default_value_t = 1.0, value_parser = percentage, hide = true)]
    pub trace_sampling: f64,

    /// Who makes pilot's certificate; no other is supported
    #[arg(long, env = "PILOT_CERT_PROVIDER", default_value = "istiod", value_parser = ["istiod"], hide = true)]
    pub certificate_provider: String,

    /// Quiet time after which a burst of changes goes out
    #[arg(long, env = "PILOT_DEBOUNCE_AFTER", default_value = "100ms", value_parser = duration)]
    pub debounce_after: Duration,

    /// Longest time that a change waits in a burst
    #[arg(long, env = "PILOT_DEBOUNCE_MAX", default_value = "1s", value_parser = duration)]
    pub debounce_max: Duration,

    /// Longest lifetime of a workload certificate
    #[arg(long, env = "MAX_WORKLOAD_CERT_TTL", default_value = "2160h", value_parser = duration)]
    pub max_certificate_ttl: Duration,

    /// How long open streams may go on after a request to end
    #[arg(long = "shutdownDuration", alias = "shutdown-duration", default_value = "10s", value_parser = duration)]
    pub shutdown: Duration,

    /// Log lines as JSON
    #[arg(long = "log_as_json", alias = "log-as-json", action = ArgAction::SetTrue)]
    pub log_as_json: bool,

    /// Log levels: LEVEL or SCOPE:LEVEL, comma-separated
    #[arg(long = "log_output_level", alias = "log-output-level", default_value = "info")]
    pub log_output_level: String,

    /// DNS suffix of the cluster; no other is served
    #[arg(long, default_value = "cluster.local", value_parser = ["cluster.local"])]
    pub domain: String,

    /// How long a connection of a proxy lasts, give or take a tenth; without it, for ever
    #[arg(long = "keepaliveMaxServerConnectionAge", value_name = "TIME", value_parser = duration)]
    pub connection_age: Option<Duration>,

    #[command(flatten)]
    pub webhook: crate::webhook::Settings,
}

impl Settings {
    /// What this control plane knows of itself. On a laptop there is one place for mesh settings.
    pub fn home(&self) -> Home {
        let home = Home { trace_sampling: self.trace_sampling, ..Home::default() };
        match self.config_dir {
            Some(_) => home,
            None => Home {
                namespace: self.namespace.clone(),
                config_map: format!("istio{}", self.webhook.suffix()),
                ..home
            },
        }
    }

    /// DNS names under which clients reach this pilot: those that were given, and those of its services in the cluster.
    pub fn dns_names(&self) -> Vec<String> {
        let (namespace, domain) = (&self.namespace, &self.domain);
        let mut names: Vec<String> = self.names.iter().filter(|name| !name.is_empty()).cloned().collect();
        let mut services = vec!["istiod".to_owned()];
        if !matches!(self.webhook.revision.as_str(), "" | "default") {
            services.push(format!("istiod-{}", self.webhook.revision));
        }
        names.extend(services.iter().map(|service| format!("{service}.{namespace}.svc.{domain}")));
        // A control plane outside of the cluster, and the name of old.
        services.extend(["istiod-remote".to_owned(), "istio-pilot".to_owned()]);
        names.extend(services.iter().map(|service| format!("{service}.{namespace}.svc")));
        names.push("istiod".to_owned());
        names.sort();
        names.dedup();
        names
    }

    /// Reads the process's arguments and ends it on a mistake or for `--help`. The word `discovery`, with which
    /// istiod's image is started, may come first.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut arguments: Vec<OsString> = arguments.into_iter().collect();
        if arguments.get(1).is_some_and(|word| word == "discovery") {
            arguments.remove(1);
        }
        Self::parse_from(arguments)
    }
}

/// `HOST:PORT`; `:PORT` is every address, IPv6 and IPv4.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    full.parse().map_err(|_| format!("{text:?} is no address: use IP:PORT or :PORT"))
}

fn duration(text: &str) -> Result<Duration, String> {
    base::settings::parse_duration(text)
}

fn percentage(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| format!("{text:?} is no percentage: use a number from 0 to 100"))
}

/// A name for a pilot that is no pod.
fn nameless() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

/// Go's words for a truth value, which istiod's settings have.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_as_the_chart_says() {
        let line = "pilot-discovery discovery --monitoringAddr=:15014 --log_output_level=default:info --log_as_json \
            --domain cluster.local --keepaliveMaxServerConnectionAge 30m";
        let settings = Settings::read(line.split_whitespace().map(OsString::from));
        assert_eq!((settings.log_output_level.as_str(), settings.log_as_json), ("default:info", true));
        assert_eq!((settings.monitoring.port(), settings.config_dir), (15014, None));
        let other = Settings::try_parse_from(["pilot", "--domain", "example.org"]);
        assert!(other.unwrap_err().to_string().contains("--domain"));
    }

    #[test]
    fn a_certificate_has_the_names_of_the_services() {
        let line = "pilot --namespace mesh --revision canary --names istiod.example.org,";
        let names = Settings::read(line.split_whitespace().map(OsString::from)).dns_names();
        for name in
            ["istiod.example.org", "istiod.mesh.svc", "istiod-canary.mesh.svc", "istiod-remote.mesh.svc"]
        {
            assert!(names.iter().any(|own| own == name), "{name}: {names:?}");
        }
        assert!(!names.iter().any(String::is_empty));
        let names = Settings::read(["pilot".into()]).dns_names();
        assert!(names.iter().any(|own| own == "istiod.istio-system.svc.cluster.local"), "{names:?}");
        assert!(!names.iter().any(|own| own.contains("default")), "{names:?}");
    }
}
