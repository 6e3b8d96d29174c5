//! Objects into the API server, without stepping on anybody's toes.
//!
//! In: an object as it should be, and as it is. Out: what became of it. What exists is first tried without changing
//! anything: so an unchanged object is not written, and a conflict is told before anything happens. Fields of webhooks
//! that istiod itself keeps are left to it.

use anyhow::{Result, anyhow};
use serde_json::Value;

use super::objects::{Id, Manner, Objects};

/// What is done with an object, known before it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Create(Value),
    /// What is applied, and what the API server makes of it.
    Configure {
        wanted: Value,
        after: Value,
    },
    Keep,
}

/// A field that somebody else has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) field: String,
    pub(super) owner: String,
}

/// What has to be done, or why it cannot be.
///
/// # Errors
/// The API server refuses the object, or others own fields of it; the error says which and who.
pub(super) async fn step(
    objects: &Objects,
    id: &Id,
    wanted: &Value,
    live: Option<&Value>,
    force: bool,
) -> Result<Step> {
    let Some(live) = live else { return Ok(Step::Create(wanted.clone())) };
    let mut wanted = wanted.clone();
    let manner = Manner { dry: true, force };
    for _ in 0..2 {
        match objects.apply(id, &wanted, manner).await {
            Ok(after) => {
                let same = plain(live) == plain(&after);
                return Ok(if same { Step::Keep } else { Step::Configure { wanted, after } });
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let mut conflicts: Vec<Conflict> = status
                    .details
                    .iter()
                    .flat_map(|details| &details.causes)
                    .map(|cause| conflict(&cause.field, &cause.message))
                    .collect();
                let before = conflicts.len();
                conflicts.retain(|conflict| !kept_by_istiod(id, conflict));
                if !conflicts.is_empty() || before == 0 {
                    return Err(explain(id, &conflicts, &status.message));
                }
                leave_to_istiod(&mut wanted);
            }
            Err(error) => return Err(objects.cluster.explain(&format!("apply {id}"), error)),
        }
    }
    Err(anyhow!("{id} changes while it is looked at; try again"))
}

fn conflict(field: &str, message: &str) -> Conflict {
    // `conflict with "kubectl-edit" using apps/v1`
    let owner = message.split('"').nth(1).unwrap_or("somebody");
    Conflict { field: field.trim_start_matches('.').to_owned(), owner: owner.to_owned() }
}

fn explain(id: &Id, conflicts: &[Conflict], message: &str) -> anyhow::Error {
    let mut owners: Vec<&str> = conflicts.iter().map(|conflict| conflict.owner.as_str()).collect();
    owners.sort_unstable();
    owners.dedup();
    let lines: Vec<String> = owners
        .iter()
        .map(|owner| {
            let fields: Vec<&str> = conflicts
                .iter()
                .filter(|conflict| conflict.owner == *owner)
                .map(|conflict| conflict.field.as_str())
                .collect();
            format!("{} was set by {owner}", fields.join(", "))
        })
        .collect();
    match lines.as_slice() {
        [] => anyhow!("cannot apply {id}: {message}"),
        lines => anyhow!(
            "{id}: {}; say it with -f or --set so that it stays, or --force to overwrite it",
            lines.join("; ")
        ),
    }
}

/// istiod writes its authority into webhooks, and lets them refuse once it answers.
fn kept_by_istiod(id: &Id, conflict: &Conflict) -> bool {
    id.row.group == "admissionregistration.k8s.io"
        && ["failurePolicy", "caBundle"].iter().any(|field| conflict.field.ends_with(field))
}

fn leave_to_istiod(configuration: &mut Value) {
    for webhook in configuration["webhooks"].as_array_mut().into_iter().flatten() {
        if let Some(webhook) = webhook.as_object_mut() {
            webhook.shift_remove("failurePolicy");
        }
        if let Some(client) = webhook["clientConfig"].as_object_mut() {
            client.shift_remove("caBundle");
        }
    }
}

/// Without what the API server counts and dates.
fn plain(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(meta) = object["metadata"].as_object_mut() {
        for field in ["resourceVersion", "generation"] {
            meta.shift_remove(field);
        }
        for entry in meta.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.shift_remove("time");
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conflicts_name_field_and_owner() {
        let id = Id::new("Deployment", "istio-system", "istiod");
        let conflicts = [
            conflict(".spec.replicas", "conflict with \"kubectl\" using apps/v1"),
            conflict(".spec.paused", "conflict with \"kubectl\" using apps/v1"),
        ];
        let text = explain(&id, &conflicts, "").to_string();
        assert!(
            text.starts_with(
                "Deployment istio-system/istiod: spec.replicas, spec.paused was set by kubectl; "
            ),
            "{text}"
        );
    }

    #[test]
    fn webhooks_keep_what_istiod_wrote() {
        let id = Id::new("ValidatingWebhookConfiguration", "", "istio-validator-istio-system");
        let policy =
            conflict(".webhooks[name=\"rev.validation.istio.io\"].failurePolicy", "conflict with \"pilot\"");
        assert!(kept_by_istiod(&id, &policy));
        assert!(!kept_by_istiod(&id, &conflict(".webhooks[name=\"a\"].rules", "conflict with \"pilot\"")));
        let mut configuration = json!({"webhooks": [{"name": "a", "failurePolicy": "Ignore", "clientConfig": {"caBundle": "x", "url": "u"}}]});
        leave_to_istiod(&mut configuration);
        assert_eq!(configuration, json!({"webhooks": [{"name": "a", "clientConfig": {"url": "u"}}]}));
    }

    #[test]
    fn versions_and_times_are_no_change() {
        let object = |version: &str, time: &str| {
            json!({"metadata": {"name": "a", "resourceVersion": version,
            "managedFields": [{"manager": "m", "time": time}]}, "spec": {"a": 1}})
        };
        assert_eq!(plain(&object("1", "10:00")), plain(&object("2", "10:01")));
    }
}
