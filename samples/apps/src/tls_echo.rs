//! TLS echo: ends TLS itself and answers every HTTP request with what the handshake said, as JSON. In: a
//! certificate and key, or names to make one for. Used by the tasks that pass TLS through by server name, and by
//! those that originate TLS (with client certificates if `--client-ca`).

use crate::net::{
    self, App, Call, Identity, Listen, Reply, ended, pod_name, self_signed, serve_tls, server_config,
};
use clap::Args;
use http::StatusCode;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// Flags of `tls-echo`.
#[derive(Args)]
pub struct TlsEchoArgs {
    /// TCP port to listen on
    #[arg(default_value_t = 8443)]
    port: u16,
    /// PEM file with the certificate chain
    #[arg(long, env = "TLS_CERT", requires = "key")]
    cert: Option<PathBuf>,
    /// PEM file with the key
    #[arg(long, env = "TLS_KEY", requires = "cert")]
    key: Option<PathBuf>,
    /// Make a certificate for this name instead (may be given several times)
    #[arg(long, value_name = "NAME", conflicts_with = "cert")]
    self_signed: Vec<String>,
    /// Demand client certificates of this authority (PEM file)
    #[arg(long, env = "TLS_CLIENT_CA", value_name = "FILE")]
    client_ca: Option<PathBuf>,
    #[command(flatten)]
    listen: Listen,
}

/// The service.
pub struct TlsEcho {
    /// Name of the pod.
    pub instance: String,
}

impl App for TlsEcho {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        let tls = call.tls.unwrap_or_default();
        net::pretty(
            StatusCode::OK,
            &json!({
                "sni": tls.sni,
                "alpn": tls.alpn,
                "version": tls.version,
                "client_certificates": tls.client_certificates,
                "method": call.request.method().as_str(),
                "path": call.request.uri().path(),
                "instance": self.instance,
            }),
        )
    }
}

/// Serves until the process is asked to end.
pub async fn run(args: TlsEchoArgs) -> anyhow::Result<()> {
    let identity: Identity = match (&args.cert, &args.key) {
        (Some(chain), Some(key)) => net::identity(chain, key)?,
        _ if args.self_signed.is_empty() => self_signed(&["localhost".to_owned()])?,
        _ => self_signed(&args.self_signed)?,
    };
    let config = server_config(identity, args.client_ca.as_deref())?;
    let listener = args.listen.on(args.port).await?;
    serve_tls(listener, TlsEcho { instance: pod_name() }, config, ended()).await
}
