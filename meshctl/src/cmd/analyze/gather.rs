//! Gathers what is analysed, and finds what is wrong with it.
//!
//! In: the running mesh, texts of files, a mesh config. Out: findings of each object alone (`api`), of all together
//! (`pilot`), and of what only shows in a cluster (`analyzers`). Objects of files take the place of those of the mesh.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::{Context, Result};
use api::core::Service;
use api::{AnyObject, Code, Finding, Findings, Key, Kind, Object, Spec};
use serde_json::{Value, json};

use super::shown::{SUPPRESS, codes as names};
use crate::analyzers::{self, Scene};
use crate::client::{Mesh, What};
use crate::local::input::Text;
use crate::offline::{Plan, model_findings};

/// Kinds of a cluster that nothing here has types for.
const OTHERS: [What; 3] = [What::MUTATING, What::VALIDATING, What::DEFINITIONS];

/// The ConfigMap with the mesh config; that of a revision has its name at the end.
const MESH_CONFIG: &str = "istio";

/// Where a running mesh is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    /// Files alone.
    Nowhere,
    Laptop,
    Cluster,
}

/// Objects by name, later ones in place of earlier ones, and what their texts had wrong.
pub(super) struct Gathered {
    objects: BTreeMap<Key, AnyObject>,
    /// By kind and name.
    others: BTreeMap<(String, String), Value>,
    findings: Findings,
    remotes: Vec<(String, Vec<Object<Service>>)>,
    running: Running,
    system: String,
    /// What could not be read, and is therefore not judged.
    unread: Vec<String>,
    /// Why the first of it could not.
    refused: String,
}

impl Gathered {
    /// Nothing yet; the control plane's objects are in namespace `system`.
    pub(super) fn new(system: &str) -> Self {
        Self {
            objects: BTreeMap::new(),
            others: BTreeMap::new(),
            remotes: Vec::new(),
            findings: Findings::new(),
            running: Running::Nowhere,
            system: system.to_owned(),
            unread: Vec::new(),
            refused: String::new(),
        }
    }

    /// Everything in a running mesh. What may not be read is told by `warning`.
    pub(super) fn mesh(&mut self, mesh: &Mesh, limit: Duration) -> Result<()> {
        self.running = if mesh.is_cluster() { Running::Cluster } else { Running::Laptop };
        let kinds = Kind::ALL.iter().map(|kind| What::Kind(*kind));
        let whats: Vec<What> = kinds.chain(OTHERS).collect();
        let lists = mesh.wait(async { tokio::time::timeout(limit, lists(mesh, &whats)).await });
        let lists = lists.with_context(|| format!("{} does not answer within {limit:?}", mesh.place()))?;
        let mut refused = None;
        let mut some = false;
        for (list, what) in lists.into_iter().zip(&whats) {
            match list {
                Ok((values, whole)) => {
                    some = true;
                    if !whole {
                        self.unread.push(format!("{} of other namespaces", what.plural()));
                    }
                    values.into_iter().for_each(|value| self.value(value));
                }
                Err(error) => {
                    self.unread.push(what.plural().to_owned());
                    refused = refused.or(Some(error));
                }
            }
        }
        match refused {
            Some(error) if !some => Err(error),
            error => {
                self.refused = error.map(|error| format!("{error:#}")).unwrap_or_default();
                Ok(())
            }
        }
    }

    /// The Services of another cluster, to compare with.
    pub(super) fn remote(&mut self, name: &str, mesh: &Mesh) -> Result<()> {
        let values = mesh.objects(&[Kind::Service], None).with_context(|| format!("context {name}"))?;
        let objects = values.into_iter().flat_map(|value| api::parse::from_value(value).objects);
        let services = objects.filter_map(|object| Service::of(&object).cloned()).collect();
        self.remotes.push((name.to_owned(), services));
        Ok(())
    }

    fn value(&mut self, value: Value) {
        if OTHERS.iter().any(|other| value["kind"] == other.kind()) {
            self.other(value);
        } else {
            self.add(api::parse::from_value(value));
        }
    }

    fn other(&mut self, value: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = (text(&value["kind"]), text(&value["metadata"]["name"]));
        self.others.insert(name, value);
    }

    /// This mesh config in place of the mesh's own.
    pub(super) fn mesh_config(&mut self, text: &str) {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": MESH_CONFIG, "namespace": self.system},
            "data": {"mesh": text},
        });
        self.add(api::parse::from_value(map));
    }

    /// The mesh config of a revision in place of that of the default one.
    pub(super) fn revision(&mut self, name: &str) {
        let own = Key::new(Kind::ConfigMap, &self.system, &format!("{MESH_CONFIG}-{name}"));
        if let Some(AnyObject::ConfigMap(mut map)) = self.objects.remove(&own) {
            MESH_CONFIG.clone_into(&mut map.meta.name);
            let map = AnyObject::ConfigMap(map);
            self.objects.insert(map.key(), map);
        }
    }

    /// Objects of files.
    pub(super) fn texts(&mut self, texts: &[Text], namespace: &str) {
        for text in texts {
            self.add(api::parse_in(&text.name, &text.text, namespace));
        }
    }

    fn add(&mut self, parsed: api::Parsed) {
        let mut known = Findings::new();
        for finding in parsed.findings {
            // Webhooks are read here, though nothing has a type for them.
            let ours = |other: &What| finding.message.contains(other.kind());
            if finding.code != Code::UnknownKind || !OTHERS.iter().any(ours) {
                known.push(finding);
            }
        }
        self.findings.extend(known);
        for object in parsed.objects {
            match object.kind() {
                Kind::Unknown => self.other(object.to_value()),
                _ => drop(self.objects.insert(object.key(), object)),
            }
        }
    }

    /// What could not be read and is therefore not judged, as a warning; empty where all was read.
    pub(super) fn warning(&self) -> String {
        if self.unread.is_empty() {
            return String::new();
        }
        let why = if self.refused.is_empty() { String::new() } else { format!(" ({})", self.refused) };
        format!("Warning: not looked at: {}{why}\n", self.unread.join(", "))
    }

    /// How many documents of files could not be read as objects.
    pub(super) fn unreadable(&self) -> usize {
        self.findings.iter().filter(|f| matches!(f.code, Code::Syntax | Code::NotAnObject)).count()
    }

    /// All findings in order, each once, without those that an object's annotation suppresses.
    pub(super) fn everything(self) -> Vec<Finding> {
        let mut findings = self.findings;
        let mut good = Vec::new();
        let mut quiet: BTreeMap<Key, String> = BTreeMap::new();
        for (key, object) in self.objects {
            if let Some(codes) = object.meta().annotation(SUPPRESS) {
                quiet.insert(key, codes.to_owned());
            }
            let own = api::honoured::told(&object);
            // What would be refused is not part of the mesh.
            let refused = own.has_errors();
            findings.extend(own);
            if !refused {
                good.push(object);
            }
        }
        let mut scene = Scene::new(good.clone(), self.others.into_values().collect(), &self.system);
        scene.remotes = self.remotes;
        scene.always_injected = self.running == Running::Laptop;
        findings.extend(analyzers::run(&scene));
        if self.running == Running::Nowhere {
            findings.extend(planned(good));
        } else {
            findings.extend(model_findings(good));
        }
        findings.sort();
        let mut seen = HashSet::new();
        let mut list = findings.into_vec();
        list.retain(|one| {
            let codes = one.object.as_ref().and_then(|key| quiet.get(key)).map_or("", String::as_str);
            let suppressed = codes
                .split(',')
                .map(str::trim)
                .any(|code| code == "*" || names(one).any(|name| name == code));
            let place = (one.code, one.object.clone(), one.path.to_string(), one.line, one.message.clone());
            !suppressed && seen.insert(place)
        });
        list.sort_by_key(|one| (std::cmp::Reverse(one.severity), one.object.clone()));
        list
    }
}

/// What is wrong with all objects together, with pods planned as `up` would make them. Where it would refuse to, the
/// findings of single objects say why, and pods are made as an API server would.
fn planned(objects: Vec<AnyObject>) -> Vec<Finding> {
    let plan = Plan::of_objects(objects.iter().cloned().map(|object| (object, None)));
    let Ok((plan, planned)) = plan.and_then(|mut plan| plan.objects().map(|planned| (plan, planned))) else {
        return model_findings(objects).into_vec();
    };
    // Of what `up` adds itself, nobody here can change anything.
    let own = |one: &Finding| one.object.as_ref().is_some_and(|key| plan.is_own(key));
    model_findings(planned).into_iter().filter(|one| !own(one)).collect()
}

/// The objects of each kind, and whether they are those of all namespaces.
async fn lists(mesh: &Mesh, whats: &[What]) -> Vec<Result<(Vec<Value>, bool)>> {
    let mut all = Vec::new();
    for (list, what) in mesh.lists_of(whats, None).await.into_iter().zip(whats) {
        let error = match list {
            Ok(list) => {
                all.push(Ok((list, true)));
                continue;
            }
            Err(error) => error,
        };
        // Whoever may not see all may see the own namespace.
        let namespaced = matches!(what, What::Kind(kind) if kind.is_namespaced());
        let own = match namespaced {
            true => mesh.lists_of(&[*what], Some(mesh.namespace())).await.pop(),
            false => None,
        };
        all.push(match own {
            Some(Ok(list)) => Ok((list, false)),
            _ => Err(error),
        });
    }
    all
}
