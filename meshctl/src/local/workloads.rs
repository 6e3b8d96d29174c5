//! What should run: the difference between what workloads ask for and the pods that there are. Pure.
//!
//! In: the world. Out: pods to start and to end. A changed template is rolled out by starting all new pods, and
//! ending the old ones when the new ones are ready. Called by the reconciler in every round.

use std::collections::BTreeMap;

use api::core::{PersistentVolumeClaimVolume, Pod, PodTemplate, Volume};
use api::{AnyObject, Key, Kind, Meta};
use rand::RngExt;

use super::plan::Template;
use super::world::{PodRecord, Stored, World};

/// One thing to do.
#[derive(Debug)]
pub enum Step {
    /// Start a pod of this template under this name.
    Start(Box<Template>, String),
    /// End this pod.
    End((String, String)),
}

/// How the pods of a workload are named and replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Random names; new ones first.
    Set,
    /// Numbered names; one replaces the other.
    Numbered,
    /// Until so many have succeeded: so many at a time, and no more after so many have failed.
    Finite { parallel: usize, failures: usize },
    /// One, under the workload's own name.
    Single,
}

/// What a workload asks for.
struct Wanted {
    template: Template,
    count: usize,
    style: Style,
    /// Volumes that each pod has a folder of its own for.
    claims: Vec<String>,
}

/// Failed pods of a Job that says no `backoffLimit`, as in Kubernetes.
const BACKOFF_LIMIT: usize = 6;

/// Letters that Kubernetes uses in generated names: no vowels, so no words.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Everything to do now.
#[must_use]
pub fn steps(world: &World) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut by_owner: BTreeMap<&Key, Vec<&PodRecord>> = BTreeMap::new();
    for pod in world.pods.values() {
        by_owner.entry(&pod.plan.owner).or_default().push(pod);
    }
    for stored in world.objects.values() {
        let Some(wanted) = wanted(stored) else { continue };
        let pods = by_owner.remove(&wanted.template.owner).unwrap_or_default();
        match wanted.style {
            Style::Set => set(&wanted, &pods, &mut steps),
            Style::Numbered => numbered(&wanted, &pods, &mut steps),
            Style::Finite { parallel, failures } => finite(&wanted, (parallel, failures), &pods, &mut steps),
            Style::Single => single(&wanted, &pods, &mut steps),
        }
    }
    // Pods whose workload is no longer there.
    steps.extend(by_owner.into_values().flatten().filter(|pod| !pod.terminating()).map(end));
    steps
}

fn end(pod: &PodRecord) -> Step {
    Step::End(pod.plan.key())
}

fn wanted(stored: &Stored) -> Option<Wanted> {
    let count = |number: Option<i32>| usize::try_from(number.unwrap_or(1)).unwrap_or(0);
    let owner = stored.object.key();
    let make = |template: &PodTemplate, count: usize, style: Style| {
        Some(Wanted {
            template: Template {
                owner: owner.clone(),
                meta: bare(&template.metadata),
                spec: template.spec.clone(),
                manifest: stored.manifest.clone(),
                hash: hash(&template.metadata, &template.spec),
            },
            count,
            style,
            claims: Vec::new(),
        })
    };
    match &stored.object {
        AnyObject::Deployment(object) => make(&object.spec.template, count(object.spec.replicas), Style::Set),
        AnyObject::ReplicaSet(object) => make(&object.spec.template, count(object.spec.replicas), Style::Set),
        AnyObject::DaemonSet(object) => make(&object.spec.template, 1, Style::Set),
        AnyObject::StatefulSet(object) => {
            let mut wanted = make(&object.spec.template, count(object.spec.replicas), Style::Numbered)?;
            // Their pods have names of their own in the Service that governs them.
            if wanted.template.spec.subdomain.is_empty() {
                wanted.template.spec.subdomain.clone_from(&object.spec.service_name);
            }
            let claims = object.spec.volume_claim_templates.iter();
            wanted.claims = claims.map(|claim| claim.metadata.name.clone()).collect();
            Some(wanted)
        }
        AnyObject::Job(object) => {
            let parallel = count(object.spec.parallelism);
            let wanted = object.spec.completions.or(object.spec.parallelism);
            let wanted = if object.spec.suspend == Some(true) { 0 } else { count(wanted) };
            let failures = object.spec.backoff_limit.and_then(|limit| usize::try_from(limit).ok());
            let failures = failures.unwrap_or(BACKOFF_LIMIT);
            make(&object.spec.template, wanted, Style::Finite { parallel, failures })
        }
        AnyObject::Pod(object) => {
            let template = PodTemplate { metadata: bare(&object.meta), spec: object.spec.clone() };
            make(&template, 1, Style::Single)
        }
        _ => None,
    }
}

/// Labels and annotations only.
fn bare(meta: &Meta) -> Meta {
    Meta { labels: meta.labels.clone(), annotations: meta.annotations.clone(), ..Meta::default() }
}

/// Tells versions of a template apart, in letters that may stand in a name.
fn hash(meta: &Meta, spec: &Pod) -> String {
    let text = serde_json::to_string(&(&meta.labels, &meta.annotations, spec)).unwrap_or_default();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(10)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

fn random_suffix() -> String {
    let mut random = rand::rng();
    (0..5).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

fn start(wanted: &Wanted, name: String) -> Step {
    let mut template = wanted.template.clone();
    for claim in &wanted.claims {
        let folder =
            PersistentVolumeClaimVolume { claim_name: format!("{claim}-{name}"), ..Default::default() };
        // A claim goes over a volume of the same name, as in Kubernetes.
        template.spec.volumes.retain(|volume| volume.name != *claim);
        template.spec.volumes.push(Volume {
            name: claim.clone(),
            persistent_volume_claim: Some(folder),
            ..Volume::default()
        });
    }
    Step::Start(Box::new(template), name)
}

fn fresh(wanted: &Wanted) -> Step {
    let Template { owner, hash, .. } = &wanted.template;
    let name = match owner.kind {
        Kind::Deployment => format!("{}-{hash}-{}", owner.name, random_suffix()),
        _ => format!("{}-{}", owner.name, random_suffix()),
    };
    start(wanted, name)
}

fn set(wanted: &Wanted, pods: &[&PodRecord], steps: &mut Vec<Step>) {
    let alive = pods.iter().filter(|pod| !pod.terminating());
    let (current, old): (Vec<&PodRecord>, Vec<&PodRecord>) =
        alive.copied().partition(|pod| pod.plan.hash == wanted.template.hash);
    for _ in current.len()..wanted.count {
        steps.push(fresh(wanted));
    }
    let mut by_worth = current;
    // Ready ones are kept first, then older ones.
    by_worth.sort_by_key(|pod| (!pod.ready(), pod.plan.created));
    steps.extend(by_worth.iter().skip(wanted.count).copied().map(end));
    let ready = by_worth.iter().filter(|pod| pod.ready()).count();
    if ready >= wanted.count {
        steps.extend(old.into_iter().map(end));
    }
}

fn numbered(wanted: &Wanted, pods: &[&PodRecord], steps: &mut Vec<Step>) {
    let name = |number: usize| format!("{}-{number}", wanted.template.owner.name);
    let names: Vec<String> = (0..wanted.count).map(name).collect();
    for pod in pods.iter().filter(|pod| !pod.terminating()) {
        if !names.contains(&pod.plan.name) || pod.plan.hash != wanted.template.hash {
            steps.push(end(pod));
        }
    }
    let missing = names.into_iter().filter(|name| pods.iter().all(|pod| pod.plan.name != *name));
    steps.extend(missing.map(|name| start(wanted, name)));
}

fn finite(wanted: &Wanted, (parallel, failures): (usize, usize), pods: &[&PodRecord], steps: &mut Vec<Step>) {
    let count = |over: Option<bool>| pods.iter().filter(|pod| !pod.terminating() && pod.over == over).count();
    let (running, succeeded) = (count(None), count(Some(true)));
    // Failed ones stay to be looked at.
    let failed = pods.iter().filter(|pod| pod.over == Some(false)).count();
    if failed <= failures {
        let missing = wanted.count.saturating_sub(succeeded).min(parallel);
        steps.extend((running..missing).map(|_| fresh(wanted)));
    }
}

fn single(wanted: &Wanted, pods: &[&PodRecord], steps: &mut Vec<Step>) {
    match pods.first() {
        None => steps.push(start(wanted, wanted.template.owner.name.clone())),
        Some(pod) if pod.plan.hash != wanted.template.hash && !pod.terminating() => steps.push(end(pod)),
        Some(_) => {}
    }
}

/// The version that a workload's pods should have.
#[must_use]
pub fn version_of(object: &AnyObject) -> Option<String> {
    template_of(object).map(|template| hash(&template.metadata, &template.spec))
}

/// The template of a workload, for checks and for `rollout restart`.
pub fn template_of(object: &AnyObject) -> Option<&PodTemplate> {
    match object {
        AnyObject::Deployment(object) => Some(&object.spec.template),
        AnyObject::ReplicaSet(object) => Some(&object.spec.template),
        AnyObject::DaemonSet(object) => Some(&object.spec.template),
        AnyObject::StatefulSet(object) => Some(&object.spec.template),
        AnyObject::Job(object) => Some(&object.spec.template),
        _ => None,
    }
}
