//! An installation into a cluster, in the order in which nothing races and nothing waits without need.
//!
//! In: an installation, what was found, how to do it. Out: the objects, ready; or why not. First everything that exists
//! is tried without changing it. Then, several at a time: namespaces; definitions and all that only lies there; istiod
//! and its webhooks; and when istiod answers and its webhooks know its authority, the gateways, whose proxies it injects.
//! Last, what is no longer wanted goes. Called by `cmd/install` and `cmd/upgrade`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::apply::{Step, step};
use super::labels::{MANAGED, labelled};
use super::look::{AT_ONCE, Found};
use super::objects::{Id, Manner, Objects};
use super::progress::Progress;
use super::ready;
use crate::install::{Installation, Role};

/// How long the API server may take to serve a new kind.
const ESTABLISH: Duration = Duration::from_secs(60);

/// How to install.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long each component may take to become ready; zero: nobody waits.
    pub patience: Duration,
    /// Take over fields that others have set.
    pub force: bool,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
}

/// An object that will be written.
struct Write {
    id: Id,
    role: Role,
    step: Step,
    object: Value,
}

/// All objects as they are applied, with their component's role.
pub fn objects_of(installation: &Installation) -> Vec<(Role, Value)> {
    let of = |part| labelled(installation, part).into_iter().map(move |object| (part.component.role, object));
    installation.parts.iter().flat_map(of).collect()
}

/// Installs; true if anything was changed.
///
/// # Errors
/// The API server refuses an object, or something does not become ready in time.
pub async fn install(
    objects: &Objects,
    installation: &Installation,
    found: &Found,
    options: Options,
    progress: &Progress,
) -> Result<bool> {
    let writes = writes(objects, installation, found, options.force).await?;
    if options.dry_run {
        return Ok(tell(&writes, found, progress));
    }
    let changed = writes.iter().any(|write| write.step != Step::Keep)
        || !found.missing.is_empty()
        || !found.stale.is_empty();
    for namespace in &found.missing {
        let object = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {MANAGED: "Reconcile"}}});
        let id = Id::new("Namespace", "", namespace);
        let made = objects.apply(&id, &object, Manner::default()).await;
        made.map_err(|error| objects.cluster.explain(&format!("create {id}"), error))?;
    }
    let result = progress.during(Box::pin(roles(objects, &writes, options, progress))).await;
    progress.clear();
    result?;
    for id in &found.stale {
        if objects.delete(id, &DeleteParams::background()).await? {
            progress.line(&format!("  Removed {}.", id.as_istio()));
        }
    }
    Ok(changed)
}

/// What has to be done with each object; conflicts are errors here, before anything has changed.
async fn writes(
    objects: &Objects,
    installation: &Installation,
    found: &Found,
    force: bool,
) -> Result<Vec<Write>> {
    let one = |(role, object): (Role, Value)| async move {
        let id = Id::of(&object)?;
        let step = step(objects, &id, &object, found.live.get(&id), force).await;
        anyhow::Ok((step, id, role, object))
    };
    let tried: Vec<_> = futures_util::stream::iter(objects_of(installation))
        .map(one)
        .buffered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    let mut wrong = Vec::new();
    let mut writes = Vec::new();
    for (step, id, role, object) in tried {
        match step {
            Ok(step) => writes.push(Write { id, role, step, object }),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    if !wrong.is_empty() {
        bail!("nothing was changed, because\n  {}", wrong.join("\n  "));
    }
    Ok(writes)
}

/// Says what would be done; true if anything would be.
fn tell(writes: &[Write], found: &Found, progress: &Progress) -> bool {
    for name in &found.missing {
        progress.line(&format!("would create     Namespace {name}"));
    }
    let mut kept = 0;
    for write in writes {
        match write.step {
            Step::Create(_) => progress.line(&format!("would create     {}", write.id)),
            Step::Configure { .. } => progress.line(&format!("would change     {}", write.id)),
            Step::Keep => kept += 1,
        }
    }
    for id in &found.stale {
        progress.line(&format!("would remove     {id}"));
    }
    progress.line(&format!("{kept} objects are as they should be; nothing was changed (--dry-run)"));
    kept < writes.len() || !found.missing.is_empty() || !found.stale.is_empty()
}

/// What runs, and what runs pods through istiod: applied when the rest is there.
fn runs(write: &Write) -> bool {
    matches!(write.id.row.kind, "Deployment" | "DaemonSet")
}

async fn roles(objects: &Objects, writes: &[Write], options: Options, progress: &Progress) -> Result<()> {
    let of = |role: Role| writes.iter().filter(move |write| write.role == role);
    for role in [Role::Core, Role::Istiod, Role::Egress, Role::Ingress] {
        if of(role).next().is_some() {
            progress.begin(role.title().0);
        }
    }
    // Webhooks come with istiod: before it, they would only refuse pods.
    let webhook = |write: &Write| write.id.row.group == "admissionregistration.k8s.io";
    let lies = |write: &&Write| !runs(write) && (!webhook(write) || write.role == Role::Core);
    let (core, rest): (Vec<&Write>, Vec<&Write>) =
        writes.iter().filter(lies).partition(|write| write.role == Role::Core);
    let core = async {
        apply(objects, core, options.force).await?;
        if of(Role::Core).next().is_some() {
            finish(Role::Core, progress);
        }
        anyhow::Ok(())
    };
    let others = async {
        apply(objects, rest, options.force).await?;
        let istiod = of(Role::Istiod).filter(|write| runs(write) || webhook(write)).collect();
        apply(objects, istiod, options.force).await?;
        wait(objects, of(Role::Istiod).collect(), Role::Istiod, options, progress).await?;
        let mut gateways = of(Role::Egress).chain(of(Role::Ingress));
        if let Some(gateway) = gateways.find(|write| runs(write) && write.step != Step::Keep)
            && !options.patience.is_zero()
        {
            ready::reached(objects, &gateway.object).await;
        }
        let gateways = |role: Role| {
            let all: Vec<&Write> = of(role).collect();
            async move {
                apply(objects, all.iter().copied().filter(|write| runs(write)).collect(), options.force)
                    .await?;
                wait(objects, all, role, options, progress).await
            }
        };
        futures_util::try_join!(gateways(Role::Egress), gateways(Role::Ingress))?;
        anyhow::Ok(())
    };
    futures_util::try_join!(core, others)?;
    Ok(())
}

/// Writes objects, several at a time; definitions until the API server serves them.
async fn apply(objects: &Objects, writes: Vec<&Write>, force: bool) -> Result<()> {
    let one = |(id, object): (Id, Value)| async move {
        let after = objects.apply(&id, &object, Manner { dry: false, force }).await;
        let after = after.map_err(|error| objects.cluster.explain(&format!("apply {id}"), error))?;
        if id.row.kind == "CustomResourceDefinition" && !ready::is_established(&after) {
            let served = ready::until(objects, &id, ready::is_established);
            let served = tokio::time::timeout(ESTABLISH, served).await;
            served.with_context(|| {
                format!("the API server does not serve {} after {ESTABLISH:?}", id.name)
            })??;
        }
        anyhow::Ok(())
    };
    let changed = writes.into_iter().filter_map(|write| match &write.step {
        Step::Create(object) | Step::Configure { wanted: object, .. } => {
            Some((write.id.clone(), object.clone()))
        }
        Step::Keep => None,
    });
    futures_util::stream::iter(changed).map(one).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}

/// Waits until a component works: its pods, and webhooks that know istiod's authority.
async fn wait(
    objects: &Objects,
    writes: Vec<&Write>,
    role: Role,
    options: Options,
    progress: &Progress,
) -> Result<()> {
    let title = role.title().0;
    if writes.is_empty() {
        return Ok(());
    }
    if options.patience.is_zero() {
        let (name, sign) = role.title();
        progress.done(name, &format!("{name} applied, not waited for (--readiness-timeout 0s) {sign}"));
        return Ok(());
    }
    let pods = writes.iter().filter(|write| runs(write)).map(|write| async move {
        let told = |reason: &str| progress.waits(title, reason);
        ready::rolled_out(objects, &write.id, told).await
    });
    let local = writes.iter().any(|write| runs(write));
    let hooks = writes
        .iter()
        .filter(|write| local && needs_authority(write))
        .map(|write| async move { ready::until(objects, &write.id, ready::has_authority).await });
    let all = futures_util::future::try_join(
        futures_util::future::try_join_all(pods),
        futures_util::future::try_join_all(hooks),
    );
    match tokio::time::timeout(options.patience, all).await {
        Ok(result) => {
            result?;
            finish(role, progress);
            Ok(())
        }
        Err(_) => {
            progress.failed(title, &format!("{title} not ready after {:?}", options.patience));
            Err(why(objects, &writes).await)
        }
    }
}

/// A webhook that istiod has to tell its authority, because nobody else does.
fn needs_authority(write: &Write) -> bool {
    let webhooks = write.object["webhooks"].as_array();
    write.id.row.kind == "MutatingWebhookConfiguration"
        && webhooks.into_iter().flatten().any(|webhook| {
            let client = &webhook["clientConfig"];
            client["caBundle"].is_null() && client["url"].is_null()
        })
}

/// Why a component is not ready, with the last lines of what ended.
async fn why(objects: &Objects, writes: &[&Write]) -> anyhow::Error {
    let mut told = Vec::new();
    for write in writes.iter().filter(|write| runs(write)) {
        if let Some(reason) = ready::why_not(objects, &write.id).await {
            told.push(format!("{}: {reason}", write.id));
        }
        told.extend(ready::last_words(objects, &write.id).await);
    }
    for write in writes.iter().filter(|write| needs_authority(write)) {
        if let Ok(Some(live)) = objects.get(&write.id).await
            && !ready::has_authority(&live)
        {
            told.push(format!(
                "{}: istiod has not written its certificate authority (caBundle) into it",
                write.id
            ));
        }
    }
    if told.is_empty() {
        told.push(
            "the cluster does not say why; look at `kubectl get pods -A` and `kubectl get events -A`"
                .to_owned(),
        );
    }
    anyhow::anyhow!(
        "{}\nWhat was applied stays; once the reason is gone, the same command goes on from here",
        told.join("\n")
    )
}

fn finish(role: Role, progress: &Progress) {
    let (name, sign) = role.title();
    progress.done(name, &format!("{name} installed {sign}"));
}
