//! The API server as this module needs it: get, list, apply and delete objects of the kinds of an installation.
//!
//! In: a client. Out: objects as JSON. Called by everything beside it. The table of kinds says how each is addressed;
//! applying is server-side, under the name that Istio's installer has.

use std::fmt;

use anyhow::{Context, Result};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

use crate::client::kube::Cluster;

/// The owner of fields that this program applies.
const MANAGER: &str = "istio-operator";

/// One kind.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub kind: &'static str,
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
}

macro_rules! rows {
    ($($kind:literal $group:literal $version:literal $plural:literal $namespaced:literal),* $(,)?) => {
        &[$( Row { kind: $kind, group: $group, version: $version, plural: $plural, namespaced: $namespaced } ),*]
    };
}

/// Every kind that an installation or its removal touches. In the order of removing: what asks for others goes first.
pub(super) static ROWS: &[Row] = rows![
    "MutatingWebhookConfiguration" "admissionregistration.k8s.io" "v1" "mutatingwebhookconfigurations" false,
    "ValidatingWebhookConfiguration" "admissionregistration.k8s.io" "v1" "validatingwebhookconfigurations" false,
    "HorizontalPodAutoscaler" "autoscaling" "v2" "horizontalpodautoscalers" true,
    "PodDisruptionBudget" "policy" "v1" "poddisruptionbudgets" true,
    "Deployment" "apps" "v1" "deployments" true,
    "DaemonSet" "apps" "v1" "daemonsets" true,
    "Service" "" "v1" "services" true,
    "EndpointSlice" "discovery.k8s.io" "v1" "endpointslices" true,
    "NetworkPolicy" "networking.k8s.io" "v1" "networkpolicies" true,
    "ConfigMap" "" "v1" "configmaps" true,
    "Secret" "" "v1" "secrets" true,
    "Lease" "coordination.k8s.io" "v1" "leases" true,
    "RoleBinding" "rbac.authorization.k8s.io" "v1" "rolebindings" true,
    "Role" "rbac.authorization.k8s.io" "v1" "roles" true,
    "ClusterRoleBinding" "rbac.authorization.k8s.io" "v1" "clusterrolebindings" false,
    "ClusterRole" "rbac.authorization.k8s.io" "v1" "clusterroles" false,
    "ServiceAccount" "" "v1" "serviceaccounts" true,
    "CustomResourceDefinition" "apiextensions.k8s.io" "v1" "customresourcedefinitions" false,
    "Namespace" "" "v1" "namespaces" false,
];

impl Row {
    /// The row of a kind.
    pub fn of(kind: &str) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.kind == kind)
    }

    /// How the client library names it.
    pub fn resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub row: &'static Row,
    /// Empty for objects of the whole cluster.
    pub namespace: String,
    pub name: String,
}

impl Id {
    /// The id of an object.
    ///
    /// # Errors
    /// The charts of `--manifests` have a kind that this program does not install.
    pub fn of(object: &Value) -> Result<Self> {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = word(&object["kind"]);
        let row = Row::of(&kind)
            .with_context(|| format!("the charts have a {kind}, which install does not know"))?;
        let meta = &object["metadata"];
        let namespace = if row.namespaced { word(&meta["namespace"]) } else { String::new() };
        Ok(Self { row, namespace, name: word(&meta["name"]) })
    }

    /// An id from its parts.
    ///
    /// # Panics
    /// The kind is not in the table.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        let row = Row::of(kind).expect("kinds in code are in the table");
        Self { row, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl Id {
    /// As Istio's installer names what it removed: `apps/v1, Kind=Deployment/istiod.istio-system`.
    pub fn as_istio(&self) -> String {
        let Row { group, version, kind, .. } = self.row;
        format!("{group}/{version}, Kind={kind}/{}.{}", self.name, self.namespace)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.row.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.row.kind, self.name),
        }
    }
}

/// How to apply.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Only see what would happen.
    pub dry: bool,
    /// Take over fields that others have set.
    pub force: bool,
}

/// Objects of a cluster.
#[derive(Clone)]
pub struct Objects {
    pub cluster: Cluster,
}

impl Objects {
    /// The API of a kind in a namespace; in all of them where it is empty.
    pub fn api(&self, row: &Row, namespace: &str) -> Api<DynamicObject> {
        let client = self.cluster.client().clone();
        match (row.namespaced, namespace) {
            (false, _) | (true, "") => Api::all_with(client, &row.resource()),
            (true, namespace) => Api::namespaced_with(client, namespace, &row.resource()),
        }
    }

    /// The object, if it exists.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn get(&self, id: &Id) -> Result<Option<Value>> {
        let found = self.api(id.row, &id.namespace).get_opt(&id.name).await;
        let found = found.map_err(|error| self.cluster.explain(&format!("read {id}"), error))?;
        found.map(|object| serde_json::to_value(object).context("an object is JSON")).transpose()
    }

    /// All objects of a kind with these labels; in all namespaces where none is said.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn list(&self, row: &'static Row, namespace: &str, labels: &str) -> Result<Vec<Value>> {
        let list = self.api(row, namespace).list(&ListParams::default().labels(labels)).await;
        let list = list.map_err(|error| self.cluster.explain(&format!("list {}", row.plural), error))?;
        let whole = |object: DynamicObject| {
            let mut value = serde_json::to_value(object)?;
            // Items of a list do not say what they are.
            value["kind"] = row.kind.into();
            Ok(value)
        };
        list.items.into_iter().map(whole).collect()
    }

    /// Applies it. The error is the API server's own, so that a conflict can be told from others.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn apply(&self, id: &Id, object: &Value, manner: Manner) -> Result<Value, kube::Error> {
        let mut params = PatchParams::apply(MANAGER).validation_strict();
        params.dry_run = manner.dry;
        params.force = manner.force;
        let applied = self.api(id.row, &id.namespace).patch(&id.name, &params, &Patch::Apply(object)).await?;
        serde_json::to_value(applied).map_err(kube::Error::SerdeError)
    }

    /// Deletes it and what it owns; whether it was there.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn delete(&self, id: &Id, params: &DeleteParams) -> Result<bool> {
        match self.api(id.row, &id.namespace).delete(&id.name, params).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(self.cluster.explain(&format!("delete {id}"), error)),
        }
    }
}
