//! With what is injected: the same facts as the webhook has, read from texts.
//!
//! In: a [`Source`]. Out: [`Settings`], or what is wrong in which text. Used for every workload of a command.

use std::collections::BTreeMap;

use anyhow::Result;
use api::Findings;
use api::mesh::{MeshConfig, mesh_config};
use pilot::webhook::inject::{Facts, Injector, Proxies};
use pilot::webhook::variables;

use super::source::{Read, Source};
use crate::cmd::printed::BadInput;

/// Everything that decides about a pod beside the pod.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its policy is `enabled`: who asks for an injection by hand wants it where nothing is injected by itself.
    pub injector: Injector,
    mesh: MeshConfig,
    revision: String,
    native: bool,
    environment: BTreeMap<String, String>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Settings that are accepted and have no effect.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads the texts of a source.
    ///
    /// # Errors
    /// One cannot be read; it is named.
    pub fn read(source: &Source) -> Result<Self> {
        let Source { config, values, mesh, .. } = source;
        let wrong = |text: &Read, error: String| BadInput(format!("{}: {error}", text.name));
        let mut injector = Injector::read(&config.text, &values.text, &source.variables)
            // Both texts are read at once, and the error says which key it is about.
            .map_err(|error| wrong(if error.starts_with("key values") { values } else { config }, error))?;
        if injector.unknown.iter().any(|field| field == "kind") {
            let text = "this is a whole object, and the text of its key config is needed: kubectl -n istio-system get \
                        configmap istio-sidecar-injector -o jsonpath='{.data.config}'";
            return Err(wrong(config, text.to_owned()).into());
        }
        if injector.texts().is_empty() {
            return Err(wrong(config, "there are no templates in it".to_owned()).into());
        }
        let unknown =
            |field: &String| format!("{}: there is no field {field}; it has no effect", config.name);
        let mut warnings: Vec<String> = injector.unknown.iter().map(unknown).collect();
        let mut findings = Findings::new();
        let settings = mesh_config(&mesh.name, &mesh.text, &mut findings);
        if findings.has_errors() {
            return Err(BadInput(findings.to_string().trim_end().to_owned()).into());
        }
        warnings.extend(findings.iter().map(ToString::to_string));
        "enabled".clone_into(&mut injector.policy);
        Ok(Self {
            injector,
            mesh: settings,
            revision: source.revision.clone(),
            native: source.native,
            environment: variables(&source.path),
            namespaces: source.namespaces.clone(),
            warnings,
        })
    }

    /// The facts about pods of a namespace.
    pub(super) fn facts<'a>(&'a self, labels: &'a BTreeMap<String, String>) -> Facts<'a> {
        Facts {
            // Objects of the cluster are for the webhook only, as with Istio.
            proxies: Proxies::default(),
            injector: &self.injector,
            mesh: &self.mesh,
            revision: &self.revision,
            native_sidecars: self.native,
            namespace_labels: labels,
            environment: &self.environment,
        }
    }

    /// Labels of a namespace, none where it is unknown.
    pub(super) fn labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.namespaces.get(namespace).cloned().unwrap_or_default()
    }
}
