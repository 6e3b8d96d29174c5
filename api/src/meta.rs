//! Object metadata: names, labels, annotations, age.
//!
//! Comes in with every object; `parse` fills the namespace of namespaced kinds. `Meta::age` is the one tie-break
//! of the mesh: where two objects claim the same thing, the oldest wins, then the smaller `name.namespace`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::time::Time;

spec! {
    /// `metadata` of an object.
    pub struct Meta {
        /// Name, unique per kind and namespace.
        name: String,
        /// Namespace; empty for cluster-wide kinds.
        namespace: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        /// When the object was made; absent for objects that were only ever in files.
        creation_timestamp: Option<Time>,
        /// When deletion was asked for; the object is on its way out.
        deletion_timestamp: Option<Time>,
        deletion_grace_period_seconds: Option<i64>,
        uid: String,
        /// Counts changes of the spec.
        generation: Option<i64>,
        /// Opaque version for watches.
        resource_version: String,
        /// Prefix from which a name is made when `name` is absent.
        generate_name: String,
        owner_references: Vec<OwnerReference>,
        finalizers: Vec<String>,
        /// Kept only so that it is no unknown field.
        managed_fields: serde_json::Value,
        /// Kept only so that it is no unknown field.
        self_link: String,
    }

    /// The object that made this one.
    pub struct OwnerReference {
        api_version: String,
        kind: String,
        name: String,
        uid: String,
        controller: Option<bool>,
        block_owner_deletion: Option<bool>,
    }
}

impl Meta {
    /// Metadata with just a namespace and a name.
    pub fn named(namespace: &str, name: &str) -> Self {
        Meta { namespace: namespace.to_owned(), name: name.to_owned(), ..Meta::default() }
    }

    /// Value of a label, if set.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    /// Value of an annotation, if set.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// Oldest first; without a time (files) after those with one; then by `name.namespace`.
    pub fn age(&self, other: &Meta) -> Ordering {
        let time = |m: &Meta| (m.creation_timestamp.is_none(), m.creation_timestamp);
        time(self).cmp(&time(other)).then_with(|| {
            (self.name.as_str(), self.namespace.as_str())
                .cmp(&(other.name.as_str(), other.namespace.as_str()))
        })
    }
}

/// Whether all `wanted` labels are present with the same values. Nothing wanted: everything matches.
pub fn labels_match(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

spec! {
    /// Kubernetes label selector: all of `match_labels` and all of `match_expressions`.
    pub struct LabelSelector {
        match_labels: BTreeMap<String, String>,
        match_expressions: Vec<LabelRequirement>,
    }

    /// One condition on a label.
    pub struct LabelRequirement {
        key: String,
        /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
        operator: String,
        values: Vec<String>,
    }
}

impl LabelSelector {
    /// Whether an object with these labels is selected. An empty selector selects everything.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        labels_match(&self.match_labels, labels)
            && self.match_expressions.iter().all(|r| {
                let value = labels.get(&r.key);
                match r.operator.as_str() {
                    "In" => value.is_some_and(|v| r.values.contains(v)),
                    "NotIn" => value.is_none_or(|v| !r.values.contains(v)),
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_first_then_name() {
        let old =
            Meta { creation_timestamp: Time::parse("2020-01-01T00:00:00Z").ok(), ..Meta::named("b", "z") };
        let young =
            Meta { creation_timestamp: Time::parse("2021-01-01T00:00:00Z").ok(), ..Meta::named("a", "a") };
        let (file_a, file_b) = (Meta::named("n", "a"), Meta::named("n", "b"));
        let mut all = [&file_b, &young, &file_a, &old];
        all.sort_by(|a, b| a.age(b));
        assert_eq!(all, [&old, &young, &file_a, &file_b]);
    }

    #[test]
    fn selectors() {
        let labels = BTreeMap::from([("app".to_owned(), "x".to_owned())]);
        assert!(LabelSelector::default().matches(&labels));
        let require = |operator: &str, value: &str| LabelSelector {
            match_expressions: vec![LabelRequirement {
                key: "app".into(),
                operator: operator.into(),
                values: vec![value.into()],
            }],
            ..Default::default()
        };
        assert!(require("In", "x").matches(&labels));
        assert!(!require("NotIn", "x").matches(&labels));
        assert!(require("Exists", "").matches(&labels));
        assert!(!require("DoesNotExist", "").matches(&labels));
    }
}
