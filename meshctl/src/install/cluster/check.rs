//! What would go wrong, said before anything changes.
//!
//! In: what was found, and the installation that is wanted. Out: problems, each with what to do about it. Called by
//! `install`, which stops at errors unless forced, and by `precheck`, which prints them.

use anyhow::Result;
use api::Code;
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use serde_json::Value;

use super::look::{AT_ONCE, Found, Istiod};
use super::objects::{Id, Objects, Row};

/// The oldest Kubernetes that has what the charts need: sidecars as init containers, rules (CEL) in definitions.
const OLDEST: (u32, u32) = (1, 29);

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The analyzer's code for it; some things have none.
    pub code: Option<Code>,
    /// Installing would fail or do harm; otherwise it is only worth knowing.
    pub fatal: bool,
    /// It is about versions that are apart: an upgrade does not go on.
    pub skew: bool,
    pub text: String,
}

impl Problem {
    /// Something that forbids to go on.
    pub fn error(code: Option<Code>, text: impl Into<String>) -> Self {
        Self { code, fatal: true, skew: false, text: text.into() }
    }

    fn skew(text: impl Into<String>) -> Self {
        Self { code: None, fatal: false, skew: true, text: text.into() }
    }
}

/// Everything that is wrong with installing these objects.
///
/// # Errors
/// The API server does not answer.
pub async fn check(
    objects: &Objects,
    found: &Found,
    wanted: &[Value],
    revision: &str,
) -> Result<Vec<Problem>> {
    let mut problems: Vec<Problem> = version(found).into_iter().collect();
    problems.extend(others(&found.istiods));
    problems.extend(skew(&found.istiods, revision));
    for object in wanted {
        if let Some(live) = found.live.get(&Id::of(object)?) {
            problems.extend(definition(live, object));
        }
    }
    problems.extend(rights(objects, found, wanted).await?);
    Ok(problems)
}

fn version(found: &Found) -> Option<Problem> {
    (found.number < OLDEST).then(|| {
        Problem::error(
            Some(Code::UnsupportedKubernetesVersion),
            format!(
                "the cluster runs Kubernetes {}, and this version needs {}.{} or newer: upgrade the cluster first",
                found.version, OLDEST.0, OLDEST.1
            ),
        )
    })
}

/// Control planes of Istio: both would write `istio-ca-root-cert` in every namespace and answer for the same kinds.
fn others(istiods: &[Istiod]) -> Vec<Problem> {
    let foreign = istiods.iter().filter(|istiod| !istiod.ours);
    let told = |istiod: &Istiod| {
        let Istiod { namespace, name, image, revision, .. } = istiod;
        Problem::error(
            None,
            format!(
                "Istio {} is installed here: Deployment {namespace}/{name} (revision {revision}, image {image}); the two would \
                 fight over istio-ca-root-cert in every namespace. Remove it first with \
                 `istioctl uninstall --revision {revision}` (objects of users and their definitions stay), or use another cluster",
                istiod.version()
            ),
        )
    };
    foreign.map(told).collect()
}

/// A version that is newer than this program, or too old for one step.
fn skew(istiods: &[Istiod], revision: &str) -> Vec<Problem> {
    let own = env!("CARGO_PKG_VERSION");
    let number = |text: &str| {
        let mut parts = text.split(['.', '-']).map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    let Some(mine) = number(own) else { return Vec::new() };
    let same = istiods.iter().filter(|istiod| istiod.ours && istiod.revision == revision);
    let told = |istiod: &Istiod| {
        let theirs = number(istiod.version())?;
        if theirs > mine {
            return Some(Problem::skew(format!(
                "Deployment {}/{} runs version {}, which is newer than this program ({own}): this is a downgrade",
                istiod.namespace,
                istiod.name,
                istiod.version()
            )));
        }
        (theirs.0 == mine.0 && theirs.1 + 1 < mine.1).then(|| {
            Problem::skew(format!(
                "Deployment {}/{} runs version {}, more than one minor version before this program ({own}): go step by step, \
                 or install {own} beside it with --revision",
                istiod.namespace,
                istiod.name,
                istiod.version()
            ))
        })
    };
    same.filter_map(told).collect()
}

/// Objects are stored in versions that the wanted definition does not have: the API server could not read them.
fn definition(live: &Value, wanted: &Value) -> Option<Problem> {
    if wanted["kind"] != "CustomResourceDefinition" {
        return None;
    }
    let names = |list: &Value, field: &str| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items
            .filter_map(|item| if field.is_empty() { item.as_str() } else { item[field].as_str() })
            .map(str::to_owned)
            .collect()
    };
    let ours = names(&wanted["spec"]["versions"], "name");
    let mut missing = names(&live["status"]["storedVersions"], "");
    missing.retain(|version| !ours.contains(version));
    if missing.is_empty() {
        return None;
    }
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
    Some(Problem::error(
        None,
        format!(
            "CustomResourceDefinition {name} is there in another version: its objects are stored as {}, and this version has {} \
             only; store them anew (read and write every object, then remove the old version from status.storedVersions)",
            missing.join(", "),
            ours.join(", ")
        ),
    ))
}

/// What the user may not do. One question settles it for an administrator.
///
/// # Errors
/// The API server does not answer.
pub async fn rights(objects: &Objects, found: &Found, wanted: &[Value]) -> Result<Vec<Problem>> {
    if allowed(objects, "*", "*", "*", "").await? {
        return Ok(Vec::new());
    }
    let mut asked: Vec<(&'static Row, String)> = Vec::new();
    for object in wanted {
        let id = Id::of(object)?;
        if !asked.contains(&(id.row, id.namespace.clone())) {
            asked.push((id.row, id.namespace));
        }
    }
    let verbs = ["get", "list", "create", "patch", "delete"];
    let questions =
        asked.into_iter().flat_map(|(row, namespace)| verbs.map(|verb| (row, namespace.clone(), verb)));
    let namespaces = Row::of("Namespace").expect("in the table");
    let make = (!found.missing.is_empty()).then(|| (namespaces, String::new(), "create"));
    let questions = questions.chain(make);
    let ask = |(row, namespace, verb): (&'static Row, String, &'static str)| async move {
        let may = allowed(objects, verb, row.group, row.plural, &namespace).await?;
        anyhow::Ok((may, row, namespace, verb))
    };
    let answers: Vec<_> =
        futures_util::stream::iter(questions).map(ask).buffered(AT_ONCE).try_collect::<Vec<_>>().await?;
    let mut refused: Vec<(&'static Row, String, Vec<&str>)> = Vec::new();
    for (_, row, namespace, verb) in answers.into_iter().filter(|(may, ..)| !may) {
        match refused.iter_mut().find(|(other, at, _)| *other == row && *at == namespace) {
            Some((_, _, verbs)) => verbs.push(verb),
            None => refused.push((row, namespace, vec![verb])),
        }
    }
    let told = |(row, namespace, verbs): (&Row, String, Vec<&str>)| {
        let place = if namespace.is_empty() {
            "the whole cluster".to_owned()
        } else {
            format!("namespace {namespace}")
        };
        let resource = if row.group.is_empty() {
            row.plural.to_owned()
        } else {
            format!("{}.{}", row.plural, row.group)
        };
        Problem::error(
            Some(Code::InsufficientPermissions),
            format!("you may not {} {resource} in {place}", verbs.join(", ")),
        )
    };
    Ok(refused.into_iter().map(|(row, namespace, verbs)| told((row, namespace, verbs))).collect())
}

/// Whether the user may do something.
pub(super) async fn allowed(
    objects: &Objects,
    verb: &str,
    group: &str,
    resource: &str,
    namespace: &str,
) -> Result<bool> {
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..Default::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(objects.cluster.client().clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| objects.cluster.explain("ask what you may do", error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn istiod(image: &str, ours: bool) -> Istiod {
        Istiod {
            namespace: "istio-system".into(),
            name: "istiod".into(),
            revision: "default".into(),
            image: image.into(),
            ours,
        }
    }

    #[test]
    fn old_clusters_and_other_control_planes_are_named() {
        let old = Found { version: "v1.24.3".into(), number: (1, 24), ..Found::default() };
        assert!(version(&old).unwrap().text.contains("Kubernetes v1.24.3"));
        assert_eq!(version(&Found { number: (1, 29), ..Found::default() }), None);
        let problems =
            others(&[istiod("docker.io/istio/pilot:1.29.0", false), istiod("mesh.local/pilot:0.1.0", true)]);
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].fatal
                && problems[0]
                    .text
                    .contains("Istio 1.29.0 is installed here: Deployment istio-system/istiod")
        );
    }

    #[test]
    fn versions_apart_are_told() {
        assert!(skew(&[istiod("mesh.local/pilot:0.1.0", true)], "default").is_empty());
        assert!(skew(&[istiod("mesh.local/pilot:99.0.0", true)], "default")[0].text.contains("downgrade"));
        assert!(skew(&[istiod("mesh.local/pilot:99.0.0", true)], "canary").is_empty());
    }

    #[test]
    fn definitions_must_have_the_versions_that_objects_are_stored_in() {
        let wanted = json!({"kind": "CustomResourceDefinition", "metadata": {"name": "a.b"},
            "spec": {"versions": [{"name": "v1"}, {"name": "v1beta1"}]}});
        let live = |stored: Value| json!({"status": {"storedVersions": stored}});
        assert_eq!(definition(&live(json!(["v1beta1"])), &wanted), None);
        let problem = definition(&live(json!(["v1", "v1alpha2"])), &wanted).unwrap();
        assert!(
            problem.text.contains("stored as v1alpha2, and this version has v1, v1beta1 only"),
            "{}",
            problem.text
        );
    }
}
