//! ProxyConfig objects: settings of proxies for the mesh, a namespace or some workloads, applied when a pod is made.
//!
//! In: all of them, oldest first, and the pod. Out: those that mean it, at most one of each reach, laid over the mesh's
//! `defaultConfig`. Those of the mesh and the namespace give way to the pod's annotation `proxy.istio.io/config`, those with
//! a selector do not. Called by `run`; who has the objects makes [`Proxies`].

use std::collections::BTreeMap;

use api::Object;
use api::mesh::ProxyConfig;
use api::meta::labels_match;
use api::networking::ProxyConfig as Written;
use serde_json::{Map, Value};

/// The objects that mean one pod.
#[derive(Clone, Debug, Default)]
pub struct Proxies<'a> {
    /// Of the root namespace, then of the pod's, without selector.
    broad: Vec<&'a Written>,
    /// Of the pod's namespace, with a selector that means it.
    own: Option<&'a Written>,
}

impl<'a> Proxies<'a> {
    /// Those that mean a pod of `namespace` with these labels. Of several the oldest, which comes first, holds.
    pub fn of(
        objects: impl IntoIterator<Item = &'a Object<Written>>,
        root: &str,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let (mut mesh, mut within, mut own) = (None, None, None);
        for object in objects {
            let here = object.meta.namespace == namespace;
            match &object.spec.selector {
                Some(selector) if here && labels_match(&selector.match_labels, labels) => {
                    own.get_or_insert(&object.spec)
                }
                Some(_) => continue,
                None if object.meta.namespace == root => mesh.get_or_insert(&object.spec),
                None if here => within.get_or_insert(&object.spec),
                None => continue,
            };
        }
        Proxies { broad: [mesh, within].into_iter().flatten().collect(), own }
    }

    /// Lays those without selector over the mesh's settings.
    pub(super) fn lay_broad(&self, config: &mut ProxyConfig) {
        self.broad.iter().for_each(|written| lay(config, written));
    }

    /// Lays the one with a selector over everything.
    pub(super) fn lay_own(&self, config: &mut ProxyConfig) {
        self.own.iter().for_each(|written| lay(config, written));
    }
}

/// The same for settings as JSON, which the mesh on a laptop has: before its annotations, and after them.
impl Proxies<'_> {
    /// Those without selector.
    pub fn broad_into(&self, config: &mut Map<String, Value>) {
        self.broad.iter().for_each(|written| lay_json(config, written));
    }

    /// The one with a selector.
    pub fn own_into(&self, config: &mut Map<String, Value>) {
        self.own.iter().for_each(|written| lay_json(config, written));
    }
}

fn lay_json(config: &mut Map<String, Value>, written: &Written) {
    if let Some(number) = written.concurrency {
        config.insert("concurrency".to_owned(), number.into());
    }
    if !written.environment_variables.is_empty() {
        let variables = config.entry("proxyMetadata").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(variables) = variables {
            let all = written.environment_variables.iter();
            variables.extend(all.map(|(name, value)| (name.clone(), value.as_str().into())));
        }
    }
}

fn lay(config: &mut ProxyConfig, written: &Written) {
    if written.concurrency.is_some() {
        config.concurrency = written.concurrency;
    }
    let variables = written.environment_variables.iter();
    config.proxy_metadata.extend(variables.map(|(name, value)| (name.clone(), value.clone())));
    if let Some(image) = written.image.as_ref().filter(|image| !image.image_type.is_empty()) {
        config.image.get_or_insert_default().image_type.clone_from(&image.image_type);
    }
}

#[cfg(test)]
mod tests {
    use api::networking::ProxyImage;
    use api::selector::WorkloadSelector;

    use super::*;

    fn object(namespace: &str, app: Option<&str>, concurrency: i32, image: &str) -> Object<Written> {
        let selector = app.map(|app| WorkloadSelector {
            match_labels: BTreeMap::from([("app".to_owned(), app.to_owned())]),
        });
        let variables = BTreeMap::from([(format!("OF_{concurrency}"), "x".to_owned())]);
        let image = Some(ProxyImage { image_type: image.to_owned() }).filter(|_| !image.is_empty());
        let spec =
            Written { selector, concurrency: Some(concurrency), environment_variables: variables, image };
        Object::new(namespace, &format!("c{concurrency}"), spec)
    }

    #[test]
    fn the_narrower_wins_and_of_equals_the_oldest() {
        let all = [
            object("istio-system", None, 1, "debug"),
            object("shop", None, 2, ""),
            object("shop", None, 3, ""),
            object("shop", Some("cart"), 4, ""),
            object("bank", None, 5, ""),
            object("istio-system", Some("cart"), 6, ""),
        ];
        let made = |namespace: &str, app: &str| {
            let labels = BTreeMap::from([("app".to_owned(), app.to_owned())]);
            let proxies = Proxies::of(&all, "istio-system", namespace, &labels);
            let mut config = ProxyConfig::default();
            proxies.lay_broad(&mut config);
            let before = config.concurrency;
            proxies.lay_own(&mut config);
            let names: Vec<String> = config.proxy_metadata.into_keys().collect();
            (before, config.concurrency, names.join(" "), config.image.unwrap_or_default().image_type)
        };
        assert_eq!(made("shop", "cart"), (Some(2), Some(4), "OF_1 OF_2 OF_4".into(), "debug".into()));
        assert_eq!(made("shop", "till"), (Some(2), Some(2), "OF_1 OF_2".into(), "debug".into()));
        assert_eq!(made("other", "cart"), (Some(1), Some(1), "OF_1".into(), "debug".into()));
    }
}
