//! Whether validation works: an object that must be refused, written on trial.
//!
//! In: a validating webhook configuration. Out: whether the API server asked us and did as we said. Nothing is kept: the
//! write is a dry run. Called by `bundle` before it makes refusals count.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::validate::ALWAYS_REJECT;

/// How the API server says that a webhook said no.
const DENIED: &str = "denied the request";

/// Writes on trial.
pub(super) struct Trial {
    gateways: Api<DynamicObject>,
    kind: ApiResource,
    revision: String,
}

impl Trial {
    /// In the control plane's namespace, as objects of this revision.
    pub(super) fn new(client: Client, namespace: &str, revision: &str) -> Self {
        let kind = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("networking.istio.io", "v1", "Gateway"),
            "gateways",
        );
        Self { gateways: Api::namespaced_with(client, namespace, &kind), kind, revision: revision.to_owned() }
    }

    /// Whether an object that this configuration selects is refused.
    pub(super) async fn rejected(&self, configuration: &DynamicObject) -> bool {
        let mut gateway = DynamicObject::new("invalid-gateway", &self.kind);
        gateway.metadata.annotations = Some([(ALWAYS_REJECT.to_owned(), "true".to_owned())].into());
        if names_revision(configuration) {
            gateway.metadata.labels = Some([("istio.io/rev".to_owned(), self.revision.clone())].into());
        }
        let server = json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]});
        gateway.data = json!({"spec": {"selector": {"istio": "none"}, "servers": [server]}});
        let params = PostParams { dry_run: true, ..PostParams::default() };
        match self.gateways.create(&params, &gateway).await {
            Ok(_) => false,
            Err(kube::Error::Api(status)) => {
                let denied = status.message.contains(DENIED);
                if !denied {
                    tracing::debug!(message = status.message, "validation cannot be tried yet");
                }
                denied
            }
            Err(error) => {
                tracing::debug!(%error, "validation cannot be tried yet");
                false
            }
        }
    }
}

/// Whether the configuration is for objects that name the revision, not for those that name none.
fn names_revision(configuration: &DynamicObject) -> bool {
    let hooks = configuration.data["webhooks"].as_array();
    hooks.into_iter().flatten().any(|hook| hook["name"].as_str().is_some_and(|name| name.starts_with("rev.")))
}
