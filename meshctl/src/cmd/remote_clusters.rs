//! `meshctl remote-clusters`: the clusters of the mesh.
//!
//! In: pilots, and the Secrets that lead to other clusters. Out: the table. A control plane here knows its own cluster
//! only: Secrets of others are listed, and said not to be read.

use anyhow::Result;
use api::Kind;
use clap::Args;
use serde_json::{Value, json};

use super::printed::Printed;
use crate::client::Mesh;
use crate::globals::{Globals, Short};
use crate::proxy_config::{Form, text};
use crate::render::Table;

/// Label of Secrets with kubeconfigs of other clusters.
const REMOTE: &str = "istio/multiCluster";

/// List the clusters of the mesh
#[derive(Args, Clone, Debug)]
pub struct RemoteClusters {
    /// Only pilots of this revision
    #[arg(short, long, value_name = "REVISION")]
    revision: Option<String>,
    /// table, json or yaml
    #[arg(short, long, value_name = "FORM", default_value = "table", hide_default_value = true)]
    output: Form,
    #[command(flatten)]
    flags: Short,
}

/// Runs it.
///
/// # Errors
/// There is no pilot, or it does not answer.
pub fn run(args: &RemoteClusters, globals: &Globals) -> Result<Printed> {
    let mesh = Mesh::find(&globals.with(&args.flags))?.revision(args.revision.as_deref());
    let pilots = mesh.pilots()?;
    let pods = mesh.objects(&[Kind::Pod], Some(mesh.system()))?;
    let mut rows = Vec::new();
    for pilot in &pilots {
        let pod = pods
            .iter()
            .find(|pod| pod["metadata"]["name"] == pilot.name.as_str())
            .cloned()
            .unwrap_or_default();
        rows.push(row(&cluster(&pod), "", "synced", &pilot.name, pilot.revision()));
    }
    // Whoever may not see Secrets sees the own cluster all the same.
    for secret in mesh.objects(&[Kind::Secret], Some(mesh.system())).unwrap_or_default() {
        if secret["metadata"]["labels"][REMOTE] == "true" {
            let name = secret["metadata"]["name"].as_str().unwrap_or_default();
            let keys = secret["data"].as_object().into_iter().flatten().map(|(key, _)| key.as_str());
            rows.extend(keys.map(|key| row(key, name, "not read: one cluster is served", "", "")));
        }
    }
    Ok(Printed::out(match args.output {
        Form::Short => {
            let mut table = Table::wide(&["NAME", "SECRET", "STATUS", "ISTIOD", "REVISION"]);
            for one in &rows {
                let word = |key: &str| one[key].as_str().unwrap_or_default();
                table.row([word("name"), word("secret"), word("status"), word("istiod"), word("revision")]);
            }
            table.to_string()
        }
        form => text(&Value::Array(rows), form)?,
    }))
}

fn row(name: &str, secret: &str, status: &str, istiod: &str, revision: &str) -> Value {
    json!({"name": name, "secret": secret, "status": status, "istiod": istiod, "revision": revision})
}

/// What a pilot was told about the name of its cluster.
fn cluster(pod: &Value) -> String {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut variables = containers.flat_map(|one| one["env"].as_array().into_iter().flatten());
    let named = variables.find(|variable| variable["name"] == "CLUSTER_ID");
    named.and_then(|variable| variable["value"].as_str()).unwrap_or("Kubernetes").to_owned()
}
