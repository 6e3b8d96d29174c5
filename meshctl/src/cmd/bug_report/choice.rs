//! Which pods: `NAMESPACES/DEPLOYMENTS/PODS/LABELS/ANNOTATIONS`. Pure.
//!
//! In: what was written, a pod as an API server shows it. Out: whether it is chosen. Parts are lists with commas; `*` stands
//! for any text; a part that is empty or left out chooses all.

use serde_json::Value;

use crate::client::Pod;
use crate::render::glob;

/// One choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    namespaces: Vec<String>,
    owners: Vec<String>,
    pods: Vec<String>,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() > 5 {
            return Err(format!(
                "{text:?} has more parts than NAMESPACES/DEPLOYMENTS/PODS/LABELS/ANNOTATIONS"
            ));
        }
        let words = |at: usize| -> Vec<String> {
            let part = parts.get(at).copied().unwrap_or_default();
            part.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let pairs = |at: usize| -> Result<Vec<(String, String)>, String> {
            let pair = |word: String| match word.split_once('=') {
                Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
                None if word == "*" => Ok(("*".to_owned(), "*".to_owned())),
                None => Err(format!("{word:?} is not KEY=VALUE")),
            };
            words(at).into_iter().map(pair).collect()
        };
        Ok(Self {
            namespaces: words(0),
            owners: words(1),
            pods: words(2),
            labels: pairs(3)?,
            annotations: pairs(4)?,
        })
    }
}

impl Choice {
    pub(super) fn has(&self, pod: &Value) -> bool {
        let read = Pod::read(pod);
        let any = |patterns: &[String], text: &str| {
            patterns.is_empty() || patterns.iter().any(|one| glob(one, text))
        };
        let all = |pairs: &[(String, String)], map: &Value| {
            pairs
                .iter()
                .filter(|(key, _)| key != "*")
                .all(|(key, value)| map[key.as_str()].as_str().is_some_and(|text| glob(value, text)))
        };
        let meta = &pod["metadata"];
        any(&self.namespaces, &read.namespace)
            && any(&self.owners, &read.owner.1)
            && any(&self.pods, &read.name)
            && all(&self.labels, &meta["labels"])
            && all(&self.annotations, &meta["annotations"])
    }
}

/// Whether a pod is chosen by one of these and by none of those. No inclusion is all.
pub(super) fn chosen(pod: &Value, include: &[Choice], exclude: &[Choice]) -> bool {
    (include.is_empty() || include.iter().any(|one| one.has(pod))) && !exclude.iter().any(|one| one.has(pod))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parts() {
        let pod = json!({"metadata": {"namespace": "shop", "name": "web-abc-x", "labels": {"version": "v1", "pod-template-hash": "abc"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-abc"}]}});
        let has = |text: &str| text.parse::<Choice>().unwrap().has(&pod);
        assert!(
            has("")
                && has("shop")
                && has("a,sh*")
                && has("shop/web")
                && has("*/web/web-*")
                && has("*/*/*/version=v1")
        );
        assert!(!has("other") && !has("shop/api") && !has("*/*/*/version=v2") && !has("*/*/*/*/a=b"));
        assert!("a/b/c/d".parse::<Choice>().is_err() && "a/b/c/*/*/c".parse::<Choice>().is_err());
        let choice = |text: &str| vec![text.parse::<Choice>().unwrap()];
        assert!(
            chosen(&pod, &[], &[]) && !chosen(&pod, &[], &choice("shop")) && !chosen(&pod, &choice("x"), &[])
        );
    }
}
