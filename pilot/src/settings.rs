//! pilot's settings: flags under the names that istiod's have, and the environment variables that tune it.
//!
//! In: the command line, the environment. Out: [`Settings`], read once by `app`. `pilot --help` shows the defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};

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

    /// Directory of the certificate authority: root certificate and key, made on the first start
    #[arg(long, value_name = "DIR")]
    pub ca_dir: PathBuf,

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

    /// DNS names of pilot's own certificate
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "istiod.istio-system.svc,istiod.istio-system.svc.cluster.local,istiod"
    )]
    pub names: Vec<String>,

    /// First part of SPIFFE ids, until mesh settings say otherwise
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,

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
    #[arg(long, alias = "log-as-json", action = ArgAction::SetTrue)]
    pub log_as_json: bool,

    /// Log levels: LEVEL or SCOPE:LEVEL, comma-separated
    #[arg(long, alias = "log-output-level", default_value = "info")]
    pub log_output_level: String,
}

/// `HOST:PORT`; `:PORT` is every address, IPv6 and IPv4.
fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    full.parse().map_err(|_| format!("{text:?} is no address: use IP:PORT or :PORT"))
}

fn duration(text: &str) -> Result<Duration, String> {
    base::settings::parse_duration(text)
}
