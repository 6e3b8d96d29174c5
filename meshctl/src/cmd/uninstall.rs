//! `meshctl uninstall`: an installation out of a cluster, exactly what it owns.
//!
//! In: a revision, settings, or `--purge`. Out: what will go is shown and confirmed, then each object that went.
//! `install::cluster` does the work.

use anyhow::{Result, bail};
use clap::Args;

use super::install::confirmed;
use super::printed::BadUsage;
use super::settings::Settings;
use crate::client::kube::{Cluster, block_on};
use crate::globals::{Globals, Short};
use crate::install::cluster::{self, Id, Objects, Progress, Removal, What, tags};
use crate::install::{Installation, Role};

/// Remove the mesh from a cluster
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl uninstall --revision canary\n  \
    meshctl uninstall -f mesh.yaml\n  \
    meshctl uninstall --purge -y\n\n\
    Without --purge the definitions of the mesh's kinds stay, and with them all objects of users.")]
pub struct Uninstall {
    #[command(flatten)]
    settings: Settings,
    /// Everything of all revisions, with the definitions of kinds and all their objects
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(short = 'y', long)]
    skip_confirmation: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Name every object in the question
    #[arg(short = 'v', long)]
    verbose: bool,
    #[command(flatten)]
    short: Short,
}

/// Runs it.
///
/// # Errors
/// Nothing was said that could be removed; the cluster does not answer or refuses.
pub fn run(args: &Uninstall, globals: &Globals) -> Result<i32> {
    let globals = globals.with(&args.short);
    globals.cluster_only()?;
    block_on(uninstall(args, &globals))
}

fn what(args: &Uninstall) -> Result<What> {
    if args.purge {
        return Ok(What::Everything);
    }
    if args.settings.has_files() {
        let installation = Installation::of(&args.settings.request()?)?;
        let parts = installation.parts.iter().filter(|part| part.component.role != Role::Core);
        let ids = parts.flat_map(|part| &part.objects).map(Id::of).collect::<Result<_>>()?;
        return Ok(What::Objects(installation.revision.clone(), ids));
    }
    match args.settings.revision() {
        Some(revision) => Ok(What::Revision(revision.to_owned())),
        None => bail!(BadUsage(
            "say what to remove: --revision NAME (default for the one without a name), -f FILE, or --purge for everything".into()
        )),
    }
}

async fn uninstall(args: &Uninstall, globals: &Globals) -> Result<i32> {
    let what = what(args)?;
    let (cluster, _) = Cluster::connect(globals).await?;
    let objects = Objects { cluster };
    let removal = cluster::removal(&objects, &what, &globals.istio_namespace).await?;
    for command in &removal.helm {
        anstream::eprintln!("Warning: objects of a Helm release stay; `{command}` removes them");
    }
    if removal.ids.is_empty() {
        anstream::println!(
            "No resources will be pruned from the cluster. Please double check the input configs"
        );
        if let What::Revision(revision) = &what {
            let known: Vec<String> =
                tags::list(&objects).await?.into_iter().map(|one| one.revision).collect();
            let known = if known.is_empty() { "none at all".to_owned() } else { known.join(", ") };
            anstream::eprintln!("Warning: there is no revision {revision} ({known})");
        }
        return Ok(0);
    }
    let summary = summary(&what, &removal, args.verbose || args.dry_run);
    if args.dry_run {
        anstream::print!("{summary}");
        anstream::println!("Nothing was removed (--dry-run).");
        return Ok(0);
    }
    if args.skip_confirmation {
        anstream::print!("{summary}");
    } else if !confirmed(
        &format!("Cluster: {}\n{}", objects.cluster.place(), summary.trim_end()),
        "Proceed? (y/N) ",
    )? {
        anstream::println!("Cancelled.");
        return Ok(1);
    }
    let progress = Progress::default();
    cluster::uninstall(&objects, &removal, matches!(what, What::Everything), &progress).await?;
    progress.done("", "Uninstall complete");
    let default = cluster::who_is_default(&objects).await?;
    if default.any && !default.enabled {
        anstream::eprintln!(
            "Warning: no control plane answers for istio-injection=enabled now; `meshctl tag set default --revision NAME` changes that"
        );
    }
    Ok(0)
}

/// What somebody has to know before saying yes.
fn summary(what: &What, removal: &Removal, verbose: bool) -> String {
    let mut text = String::new();
    if let What::Everything = what {
        text.push_str("All Istio resources will be pruned from the cluster\n");
    }
    if !removal.lost.is_empty() {
        let lost: Vec<String> =
            removal.lost.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
        text.push_str(&format!(
            "With the definitions of their kinds go objects of users: {}\n",
            lost.join(", ")
        ));
    }
    let gateways = removal.gateways();
    if !gateways.is_empty() && !matches!(what, What::Everything) {
        text.push_str(&format!(
            "You are about to remove the following gateways: {}. To avoid downtime, please quit this command and reinstall \
             the gateway(s) with a revision that is not being removed from the cluster.\n",
            gateways.join(", ")
        ));
    }
    if !removal.proxies.is_empty() {
        let revision = match what {
            What::Revision(revision) | What::Objects(revision, _) => format!(" revision {revision}"),
            What::Everything => String::new(),
        };
        text.push_str(&format!(
            "There are still {} proxies pointing to the control plane{revision}:\n  {}\nIf you proceed with the uninstall, these \
             proxies will become detached from any control plane and will not function correctly.\n",
            removal.proxies.len(),
            removal.proxies.join("\n  ")
        ));
    }
    if verbose {
        text.push_str("To be removed:\n");
        removal.ids.iter().for_each(|id| text.push_str(&format!("  {id}\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_they_lose() {
        let removal = Removal {
            ids: [
                Id::new("Deployment", "istio-system", "istio-ingressgateway"),
                Id::new("Deployment", "istio-system", "istiod"),
            ]
            .into(),
            proxies: vec!["a-1.default".into()],
            lost: vec![("VirtualService".into(), 3)],
            ..Removal::default()
        };
        let text = summary(&What::Revision("default".into()), &removal, true);
        assert!(text.contains("following gateways: istio-ingressgateway. "), "{text}");
        assert!(
            text.contains("still 1 proxies pointing to the control plane revision default:\n  a-1.default\n"),
            "{text}"
        );
        assert!(text.contains("  Deployment istio-system/istiod\n"), "{text}");
        let text = summary(&What::Everything, &removal, false);
        assert!(
            text.starts_with("All Istio resources will be pruned from the cluster\n")
                && text.contains("3 VirtualService")
        );
    }
}
