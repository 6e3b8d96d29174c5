//! `meshctl kube-inject`: the proxy put into manifests by hand, where no webhook does it.
//!
//! In: manifests; the ConfigMaps of the cluster's control plane, or files in their place. Out: the manifests with proxies,
//! on standard output or in a file that is written once everything is right. `injection` does the work.

use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::printed::{BadInput, BadUsage, Printed, some_objects, texts};
use crate::client::kube::{Cluster, block_on};
use crate::globals::{Globals, Short};
use crate::injection::{self, Given, Names, Settings, Source};
use crate::install::Request;

/// Put the proxy into manifests for a cluster
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl kube-inject -f deployment.yaml | kubectl apply -f -\n  \
    kubectl get deployment web -o yaml | meshctl kube-inject -f - | kubectl apply -f -\n  \
    meshctl kube-inject -f deployment.yaml --operatorFileName mesh.yaml -o injected.yaml\n\n\
    The settings are those of the cluster's control plane. Where a file of them is given no cluster is asked,\n\
    and what no file says is as `meshctl install` would set it.")]
pub struct KubeInject {
    /// Manifests; - is standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    filename: Vec<String>,
    /// Write to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// The injector's settings: key config of its ConfigMap
    #[arg(long = "injectConfigFile", value_name = "FILE")]
    config_file: Option<String>,
    /// The mesh config: key mesh of its ConfigMap
    #[arg(long = "meshConfigFile", value_name = "FILE")]
    mesh_file: Option<String>,
    /// The chart's values: key values of the injector's ConfigMap
    #[arg(long = "valuesFile", value_name = "FILE")]
    values_file: Option<String>,
    /// An IstioOperator that says all of it
    #[arg(long = "operatorFileName", value_name = "FILE", conflicts_with_all = ["mesh_file", "values_file"])]
    operator_file: Option<String>,
    /// The injector's ConfigMap in the cluster
    #[arg(long = "injectConfigMapName", value_name = "NAME", hide_short_help = true)]
    config_map: Option<String>,
    /// The ConfigMap with the mesh config
    #[arg(long = "meshConfigMapName", value_name = "NAME", hide_short_help = true)]
    mesh_map: Option<String>,
    /// The injector's MutatingWebhookConfiguration, whose path says cluster and network
    #[arg(long = "webhookConfig", value_name = "NAME", hide_short_help = true)]
    webhook: Option<String>,
    /// The revision of the control plane
    #[arg(short, long, value_name = "NAME")]
    revision: Option<String>,
    #[command(flatten)]
    flags: Short,
}

/// Runs it.
///
/// # Errors
/// A file that cannot be read or is wrong; no cluster, or one without this control plane.
pub fn run(args: &KubeInject, globals: &Globals) -> Result<Printed> {
    let globals = globals.with(&args.flags);
    globals.cluster_only()?;
    if args.filename.is_empty() {
        let text = "say which manifests: meshctl kube-inject -f FILE|DIR|-";
        return Err(BadUsage(text.to_owned()).into());
    }
    let manifests = texts(&args.filename)?;
    some_objects(&manifests)?;
    let (source, namespace) = source(args, &globals)?;
    let settings = Settings::read(&source)?;
    let injected = injection::inject(&manifests, &namespace, &settings)?;
    let warnings = settings.warnings.iter().chain(&injected.left);
    let err = warnings.map(|line| format!("Warning: {line}\n")).collect();
    let out = match &args.output {
        None => injected.text,
        Some(file) => {
            std::fs::write(file, injected.text).with_context(|| format!("write {file}"))?;
            String::new()
        }
    };
    Ok(Printed { out, err, code: 0 })
}

/// The settings' texts, and the namespace of objects that say none.
fn source(args: &KubeInject, globals: &Globals) -> Result<(Source, String)> {
    let given = Given {
        config: file(args.config_file.as_ref())?,
        mesh: file(args.mesh_file.as_ref())?,
        values: file(args.values_file.as_ref())?,
    };
    if given.is_empty() && args.operator_file.is_none() {
        let names = Names {
            injector: args.config_map.clone(),
            mesh: args.mesh_map.clone(),
            webhook: args.webhook.clone(),
            revision: args.revision.clone(),
        };
        return block_on(async {
            let (cluster, _) =
                Cluster::connect(globals).await.map_err(|error| match error.is::<BadInput>() {
                    true => error,
                    false => anyhow!("{error:#}; or inject without a cluster: --operatorFileName FILE"),
                })?;
            let namespace = cluster.namespace().to_owned();
            Ok((Source::of_cluster(cluster, &globals.istio_namespace, &names).await?, namespace))
        });
    }
    let of_cluster = [
        ("--injectConfigMapName", &args.config_map),
        ("--meshConfigMapName", &args.mesh_map),
        ("--webhookConfig", &args.webhook),
    ];
    if let Some((flag, _)) = of_cluster.iter().find(|(_, said)| said.is_some()) {
        let text = format!(
            "{flag} names an object of a cluster, and no cluster is asked where files have the settings"
        );
        return Err(BadUsage(text).into());
    }
    let request = Request {
        files: texts(args.operator_file.as_slice())?,
        revision: args.revision.clone(),
        namespace: Some(globals.istio_namespace.clone()),
        ..Request::default()
    };
    Ok((Source::of_charts(&request)?.with(given), globals.namespace().to_owned()))
}

/// The one text of a file.
fn file(name: Option<&String>) -> Result<Option<injection::Read>> {
    let Some(name) = name else { return Ok(None) };
    let text = std::fs::read_to_string(name);
    let text = text.map_err(|error| BadInput(format!("{name}: {error}")))?;
    Ok(Some(injection::Read { name: name.clone(), text }))
}
