//! `meshctl tag`: names for revisions, which namespaces use in their label `istio.io/rev`.
//!
//! In: a tag, and for `set` and `generate` a revision. Out: what was done, in istioctl's words; objects as YAML; a table.
//! `install::cluster::tags` does the work.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::install::confirmed;
use super::printed::Printed;
use crate::client::kube::{Cluster, block_on};
use crate::globals::{Globals, Short};
use crate::install::Charts;
use crate::install::cluster::{Objects, tags};
use crate::proxy_config::{Form, text};
use crate::render::Table;

/// Names of revisions: set, list, remove, generate
#[derive(Args, Clone, Debug)]
pub struct Tag {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    Set(Set),
    Generate(Set),
    #[command(visible_alias = "show")]
    List(List),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// Point a tag to a revision
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl tag set prod --revision 1-0\n  \
    meshctl tag set prod --revision 1-1 --overwrite\n  \
    meshctl tag set default --revision 1-1      also for istio-injection=enabled\n  \
    meshctl tag generate prod --revision 1-0 > tag.yaml")]
struct Set {
    /// The tag
    #[arg(value_name = "TAG", value_parser = name)]
    tag: String,
    /// The revision that it names
    #[arg(short = 'r', long, value_name = "NAME", value_parser = name)]
    revision: String,
    /// Move a tag that exists
    #[arg(long)]
    overwrite: bool,
    /// Another name for the tag's webhook configuration
    #[arg(long, value_name = "NAME")]
    webhook_name: Option<String>,
    /// Inject into pods of namespaces that say nothing, too
    #[arg(long)]
    auto_inject_namespaces: bool,
    /// A folder with charts instead of those of this version
    #[arg(short = 'd', long, value_name = "DIR", hide_short_help = true)]
    manifests: Option<PathBuf>,
    /// Do not ask
    #[arg(short = 'y', long)]
    skip_confirmation: bool,
    #[command(flatten)]
    short: Short,
}

/// Show tags and their namespaces
#[derive(Args, Clone, Debug)]
struct List {
    /// table, json or yaml
    #[arg(short = 'o', long, value_name = "FORM", default_value = "table")]
    output: Output,
    #[command(flatten)]
    short: Short,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

/// Remove a tag
#[derive(Args, Clone, Debug)]
struct Remove {
    /// The tag
    #[arg(value_name = "TAG")]
    tag: String,
    /// Do not ask, even if namespaces use it
    #[arg(short = 'y', long)]
    skip_confirmation: bool,
    #[command(flatten)]
    short: Short,
}

/// What may stand in a label and in a name.
fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = text.starts_with('-') || text.ends_with('-');
    if text.is_empty() || text.len() > 56 || ends || !text.chars().all(fits) {
        return Err("use lower-case letters, digits and '-', at most 56".to_owned());
    }
    Ok(text.to_owned())
}

/// Runs it.
///
/// # Errors
/// A tag or revision that is not there, a tag that is there; a cluster that does not answer.
pub fn run(args: &Tag, globals: &Globals) -> Result<Printed> {
    let short = match &args.command {
        Command::Set(args) | Command::Generate(args) => &args.short,
        Command::List(args) => &args.short,
        Command::Remove(args) => &args.short,
    };
    let globals = globals.with(short);
    globals.cluster_only()?;
    block_on(async {
        let (cluster, _) = Cluster::connect(&globals).await?;
        let objects = Objects { cluster };
        match &args.command {
            Command::Set(args) => set(args, &objects, false).await,
            Command::Generate(args) => set(args, &objects, true).await,
            Command::List(args) => list(args, &objects).await,
            Command::Remove(args) => remove(args, &objects).await,
        }
    })
}

async fn set(args: &Set, objects: &Objects, printed: bool) -> Result<Printed> {
    let charts = args.manifests.as_deref().map_or(Ok(Charts::Own), Charts::folder)?;
    let wanted = tags::Wanted {
        tag: &args.tag,
        revision: &args.revision,
        overwrite: args.overwrite,
        webhook: args.webhook_name.as_deref(),
        everywhere: args.auto_inject_namespaces,
        charts: &charts,
        printed,
    };
    let made = tags::objects_of(objects, &wanted).await?;
    if printed {
        let documents: Vec<String> = made.iter().map(api::emit::to_yaml).collect();
        return Ok(Printed::out(documents.join("---\n")));
    }
    tags::set(objects, &wanted, &made).await?;
    let (tag, revision) = (&args.tag, &args.revision);
    Ok(Printed::out(format!(
        "Revision tag {tag:?} created, referencing control plane revision {revision:?}. To enable injection using this\n\
         revision tag, use 'kubectl label namespace <NAMESPACE> istio.io/rev={tag}'\n"
    )))
}

async fn list(args: &List, objects: &Objects) -> Result<Printed> {
    let found = tags::list(objects).await?;
    if found.is_empty() {
        return Ok(Printed::out("No Istio revision tag MutatingWebhookConfigurations to list\n"));
    }
    let form = match args.output {
        Output::Table => {
            let mut table = Table::tight(&["TAG", "REVISION", "NAMESPACES"]);
            for tag in found {
                table.row([tag.tag, tag.revision, tag.namespaces.join(",")]);
            }
            return Ok(Printed::out(table.to_string()));
        }
        Output::Json => Form::Json,
        Output::Yaml => Form::Yaml,
    };
    let object =
        |tag: tags::Tag| json!({"tag": tag.tag, "revision": tag.revision, "namespaces": tag.namespaces});
    let all: Value = found.into_iter().map(object).collect();
    Ok(Printed::out(text(&all, form)?))
}

async fn remove(args: &Remove, objects: &Objects) -> Result<Printed> {
    let tag = &args.tag;
    let users = tags::users(objects, tag).await?;
    if !users.is_empty() && !args.skip_confirmation {
        let caution = format!(
            "Caution, found {} namespace(s) still injected by tag {tag:?}: {}",
            users.len(),
            users.join(", ")
        );
        if !confirmed(&caution, "Proceed with removal? [y/N] ")? {
            return Ok(Printed::out("Aborting operation.\n"));
        }
    }
    tags::remove(objects, tag).await?;
    let mut printed = Printed::out(format!("Revision tag {tag} removed\n"));
    if tag == "default" {
        printed.err =
            "No control plane answers for istio-injection=enabled now; `meshctl tag set default --revision NAME` changes that\n"
                .to_owned();
    }
    Ok(printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_labels() {
        assert_eq!(name("1-29-0").unwrap(), "1-29-0");
        for wrong in ["", "Prod", "a.b", "-a", "a-", "a_b"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
