//! Command line of the `citadel` binary.
//!
//! In: flags and Istio's environment variables. Out: [`Settings`], checked. Every mistake names its flag.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base::settings::parse_duration;

/// The certificate authority: issues workload certificates over `IstioCertificateService`.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "citadel", version)]
pub struct Settings {
    /// Directory of the CA's key and certificates; a self-signed root is made there if it is empty.
    #[arg(long, value_name = "DIR", env = "ROOT_CA_DIR")]
    pub ca_dir: PathBuf,
    /// JWKS file with the keys of the service-account tokens; read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub jwks: Option<PathBuf>,
    /// Where to serve gRPC over TLS.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:15012")]
    pub listen: SocketAddr,
    /// Where to serve /ready and /metrics; not at all by default.
    #[arg(long, value_name = "ADDR")]
    pub monitoring: Option<SocketAddr>,
    /// Trust domain of the identities.
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,
    /// Further trust domains whose certificates are accepted.
    #[arg(long, value_delimiter = ',')]
    pub trust_domain_aliases: Vec<String>,
    /// DNS names of this server's own certificate.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "istiod.istio-system.svc,istio-ca.istio-system.svc,localhost"
    )]
    pub dns_names: Vec<String>,
    /// Accepted token audiences.
    #[arg(long, env = "TOKEN_AUDIENCES", value_delimiter = ',', default_value = "istio-ca")]
    pub audiences: Vec<String>,
    /// Lifetime if a request names none.
    #[arg(long, env = "DEFAULT_WORKLOAD_CERT_TTL", value_parser = parse_duration, default_value = "24h")]
    pub default_ttl: Duration,
    /// Longest lifetime.
    #[arg(long, env = "MAX_WORKLOAD_CERT_TTL", value_parser = parse_duration, default_value = "2160h")]
    pub max_ttl: Duration,
    /// Lifetime of a root of our own.
    #[arg(long, env = "CITADEL_SELF_SIGNED_CA_CERT_TTL", value_parser = parse_duration, default_value = "87600h")]
    pub root_ttl: Duration,
    /// `info`, or `default:info,audit:debug`.
    #[arg(long, default_value = "info")]
    pub log_output_level: String,
    /// Log in JSON.
    #[arg(long)]
    pub log_as_json: bool,
}
