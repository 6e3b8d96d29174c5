//! Everything that one installation consists of.
//!
//! In: what the user asked for. Out: the objects of every component, in the order of installing. Pure but for the files
//! of `--manifests`. Called by `cmd/manifest` and by every command that changes a cluster's installation.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};

use super::charts::Charts;
use super::cluster::tags::select_nothing;
use super::origins::Origins;
use super::plan::{Component, Role, plan};
use super::render::{defaults, render};
use super::settings::{read_operator, set};
use super::shape;
use crate::cmd::printed::BadInput;
use crate::local::input::Text;

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// IstioOperator files in order; later ones win.
    pub files: Vec<Text>,
    /// `--set` words.
    pub set: Vec<String>,
    /// `--revision`.
    pub revision: Option<String>,
    /// `--manifests`.
    pub charts: Option<PathBuf>,
    /// The namespace of the control plane where the settings say none.
    pub namespace: Option<String>,
    /// Who answers for pods and objects that name no revision.
    pub unnamed: Unnamed,
}

/// Who answers for pods and objects that name no revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unnamed {
    /// As the charts say: nothing is known of a cluster.
    #[default]
    AsCharts,
    /// This installation: the tag `default` points to it.
    This,
    /// The other revision of this name.
    Other(String),
}

/// A component and its objects.
#[derive(Clone, Debug)]
pub struct Part {
    pub component: Component,
    pub objects: Vec<Value>,
}

/// All components.
#[derive(Clone, Debug)]
pub struct Installation {
    pub profile: String,
    /// Namespace of the control plane.
    pub namespace: String,
    /// As labels have it: `default` where none was said.
    pub revision: String,
    pub parts: Vec<Part>,
    /// Settings that are accepted and have no effect.
    pub warnings: Vec<String>,
}

impl Installation {
    /// Makes the objects.
    ///
    /// # Errors
    /// A setting that is unknown or not honoured, by name; a file that cannot be read.
    pub fn of(request: &Request) -> Result<Self> {
        let mut origins = Origins::default();
        let made = Self::read(request, &mut origins);
        made.map_err(|error| BadInput(origins.annotate(&format!("{error:#}"))).into())
    }

    fn read(request: &Request, origins: &mut Origins) -> Result<Self> {
        let mut spec = json!({});
        for text in &request.files {
            read_operator(&text.name, &text.text, &mut spec, origins)?;
        }
        for word in &request.set {
            set(word, &mut spec)?;
            origins.flag(word.split_once('=').map_or(word, |(path, _)| path), word);
        }
        if let Some(revision) = &request.revision {
            spec["revision"] = json!(revision);
            origins.other("revision", &format!("--revision {revision}"));
        }
        if let (Some(namespace), None) = (&request.namespace, spec.get("namespace")) {
            spec["namespace"] = json!(namespace);
        }
        let word = |value: &Value, usual: &str| {
            value.as_str().filter(|word| !word.is_empty()).unwrap_or(usual).to_owned()
        };
        let of = |spec: &Value, field: &str, usual: &str| {
            let value = if spec[field].is_null() { &spec["values"][field] } else { &spec[field] };
            word(value, usual)
        };
        let (profile, revision) = (of(&spec, "profile", "default"), of(&spec, "revision", "default"));
        label("revision", &revision)?;
        label("namespace", &of(&spec, "namespace", "istio-system"))?;
        answer(&request.unnamed, &profile, &revision, &mut spec);
        refuse(shape::of_spec(&spec))?;
        let charts = match &request.charts {
            Some(folder) => Charts::folder(folder)?,
            None => Charts::Own,
        };
        let mut parts = Vec::new();
        for component in plan(&spec)? {
            refuse(shape::of_values(&component.values, &defaults(&charts, component.chart)?))?;
            let objects = render(&charts, component.chart, &component.release, &component.values);
            let objects = objects.map_err(|error| {
                // A chart of few values refuses for all of them; istiod's knows most.
                let usual =
                    [component.chart, "istiod"].map(|chart| defaults(&charts, chart).unwrap_or_default());
                let text = usual.iter().fold(format!("{error:#}"), |text, usual| shape::hinted(&text, usual));
                anyhow!(text)
            })?;
            parts.push(Part { component, objects });
        }
        parts.sort_by_key(|part| part.component.role);
        let mut warnings = Vec::new();
        for part in parts.iter().filter(|part| part.component.role == Role::Istiod) {
            let (wrong, idle) = shape::of_mesh(&part.objects);
            refuse(wrong)?;
            // What the profile says has no effect is not the user's business.
            warnings
                .extend(idle.iter().filter(|line| origins.knows(line)).map(|line| origins.annotate(line)));
        }
        if request.unnamed == Unnamed::This {
            parts.iter_mut().flat_map(|part| &mut part.objects).for_each(silence);
        }
        let namespace = word(&spec["values"]["global"]["istioNamespace"], "istio-system");
        Ok(Self { profile, namespace: word(&spec["namespace"], &namespace), revision, parts, warnings })
    }

    /// All objects in the order of installing. Stable: within a kind, the order of components and templates.
    pub fn objects(&self) -> Vec<&Value> {
        let mut objects: Vec<&Value> = self.parts.iter().flat_map(|part| &part.objects).collect();
        objects.sort_by_key(|object| rank(object));
        objects
    }
}

/// All that is wrong at once.
fn refuse(wrong: Vec<String>) -> Result<()> {
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// Refuses what cannot be part of an object's name.
fn label(field: &str, word: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = word.starts_with('-') || word.ends_with('-');
    if ends || word.len() > 56 || !word.chars().all(fits) {
        bail!(
            "{field} {word:?} cannot be part of a name: use lower-case letters, digits and '-' between them, at most 56"
        );
    }
    Ok(())
}

/// Puts into the values who answers for what names no revision, unless they say so themselves.
fn answer(unnamed: &Unnamed, profile: &str, revision: &str, spec: &mut Value) {
    let validator = match unnamed {
        Unnamed::AsCharts => return,
        Unnamed::This => revision,
        Unnamed::Other(revision) => revision,
    };
    // The remote profile validates elsewhere.
    if profile != "remote" && spec["values"]["defaultRevision"].is_null() {
        spec["values"]["defaultRevision"] = json!(validator);
    }
    if *unnamed == Unnamed::This {
        let tags = &mut spec["values"]["revisionTags"];
        let mut list = tags.as_array().cloned().unwrap_or_default();
        if !list.contains(&json!("default")) {
            list.push(json!("default"));
        }
        *tags = list.into();
    }
}

/// The injector of the revision without a name: where there is the tag `default`, that one answers instead.
fn silence(object: &mut Value) {
    let labels = &object["metadata"]["labels"];
    if object["kind"] == "MutatingWebhookConfiguration"
        && labels["istio.io/rev"] == "default"
        && labels["istio.io/tag"].is_null()
    {
        select_nothing(object);
    }
}

/// What others need comes first: definitions, accounts and rights, settings, what runs, webhooks last.
pub fn rank(object: &Value) -> usize {
    const ORDER: &[&str] = &[
        "CustomResourceDefinition",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "ConfigMap",
        "Service",
        "EndpointSlice",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Deployment",
        "DaemonSet",
        "HorizontalPodAutoscaler",
    ];
    let kind = object["kind"].as_str().unwrap_or_default();
    ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
}
