//! The proxy of a planned pod, and what pilot would say to it.
//!
//! In: a plan and a pod or a node id. Out: the node as our proxy would introduce it, read from the very environment
//! that the pod would get, and its resources.

use std::path::Path;

use anyhow::{Context, Result};
use pilot::offline::{OWN_EXTENSIONS, Paper};
use pilot::xds::Layers;
use serde_json::{Map, Value, json};
use wire::node::NodeId;
use wire::reflect::{Style, render};
use wire::{Kind, Node};

use super::plan::Plan;
use crate::client::Pod;
use crate::local::inject::PROXY;

/// A proxy on paper.
pub struct Proxy {
    /// How it introduces itself.
    pub node: Node,
    /// Everything that it gets.
    pub layers: Layers,
    /// What was understood of the objects.
    pub paper: Paper,
}

impl Proxy {
    /// The proxy of a pod, named as in `proxy-config`. `delta` is what our own proxy speaks.
    ///
    /// # Errors
    /// No such pod (the error lists others), or one without a proxy.
    pub fn of_pod(plan: &mut Plan, name: &str, namespace: Option<&str>, delta: bool) -> Result<Self> {
        let wanted = name.parse().map_err(anyhow::Error::msg)?;
        let pod =
            plan.pods_and_services().choose(&wanted, namespace.unwrap_or("default"), namespace.is_some())?;
        anyhow::ensure!(pod.meshed, "pod {} has no proxy beside it", pod.full());
        let node = node(plan, &pod)?;
        Self::of(plan, node, delta)
    }

    /// The proxy with this node id; if a planned pod has the name in it, its labels and annotations too.
    ///
    /// # Errors
    /// It is no node id.
    pub fn of_id(plan: &mut Plan, id: &str, delta: bool) -> Result<Self> {
        let id: NodeId = id.parse()?;
        let pod =
            plan.list().into_iter().find(|pod| (&pod.name, &pod.namespace) == (&id.name, &id.namespace));
        let mut found = match pod.filter(|pod| pod.meshed) {
            Some(pod) => node(plan, &pod)?,
            None => {
                let mut bare = Node::new(id.clone());
                bare.extensions = OWN_EXTENSIONS.map(str::to_owned).to_vec();
                bare.metadata.dns_capture = true;
                bare
            }
        };
        found.id = id;
        Self::of(plan, found, delta)
    }

    fn of(plan: &mut Plan, node: Node, delta: bool) -> Result<Self> {
        let paper = Paper::of(plan.objects()?);
        let layers = paper.dump(&node, delta);
        Ok(Self { node, layers, paper })
    }
}

/// The node that the proxy would make of its environment.
fn node(plan: &Plan, pod: &Pod) -> Result<Node> {
    let planned = plan.pod(pod)?;
    let (args, mut env) = plan.environment(&planned, PROXY)?;
    // What the proxy reads from files of its pod.
    env.insert("ISTIO_META_LABELS".to_owned(), json!(planned.meta.labels).to_string());
    env.insert("ISTIO_META_ANNOTATIONS".to_owned(), json!(planned.meta.annotations).to_string());
    let flags =
        proxy::settings::parse(&args).map_err(|error| anyhow::anyhow!("arguments of the proxy: {error}"))?;
    let role = match &flags.command {
        proxy::settings::Command::Agent { role, .. } => role.clone(),
        other => anyhow::bail!("the proxy of {} is started as {other:?}, not as part of a mesh", pod.full()),
    };
    let mut settings = base::settings::Settings::from_pairs(env);
    let nowhere = Path::new("/nonexistent");
    let agent = proxy::settings::Agent::read(&role, false, &flags, &mut settings, nowhere);
    settings.finish().with_context(|| format!("environment of the proxy of {}", pod.full()))?;
    Ok(agent.node)
}

/// Resources as JSON by their type's short name. Keys and passwords are not shown.
pub fn dump(layers: &Layers, kinds: &[Kind]) -> Value {
    let style = Style { proto_names: false, redact: true };
    let of = |kind: &Kind| {
        let list = layers.of(*kind).iter().map(|one| render(kind.type_url(), &one.bytes, style)).collect();
        (kind.short().to_owned(), Value::Array(list))
    };
    Value::Object(kinds.iter().map(of).collect::<Map<_, _>>())
}
