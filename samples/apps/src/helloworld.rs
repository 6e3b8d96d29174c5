//! Helloworld: `GET /hello` says `Hello version: V, instance: POD`, `/health` says it is healthy. The version is
//! SERVICE_VERSION, the instance the pod's name. What the documented multi-cluster and locality tasks call.

use crate::net::{self, App, Call, Listen, Reply, ended, pod_name, serve};
use clap::Args;
use http::StatusCode;
use std::sync::Arc;

/// Flags of `helloworld`.
#[derive(Args)]
pub struct HelloArgs {
    /// TCP port to listen on
    #[arg(default_value_t = 5000)]
    port: u16,
    /// What it says its version is
    #[arg(long, env = "SERVICE_VERSION", default_value = "unknown")]
    version: String,
    #[command(flatten)]
    listen: Listen,
}

/// The service.
pub struct Hello {
    /// SERVICE_VERSION.
    pub version: String,
    /// Name of the pod.
    pub instance: String,
}

impl App for Hello {
    async fn answer(self: Arc<Self>, call: Call) -> Reply {
        match call.request.uri().path() {
            "/hello" => {
                let line = format!("Hello version: {}, instance: {}\n", self.version, self.instance);
                net::text(StatusCode::OK, line)
            }
            "/health" => net::text(StatusCode::OK, "Helloworld is healthy"),
            _ => net::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

/// Serves until the process is asked to end.
pub async fn run(args: HelloArgs) -> anyhow::Result<()> {
    let listener = args.listen.on(args.port).await?;
    serve(listener, Hello { version: args.version, instance: pod_name() }, ended()).await
}
