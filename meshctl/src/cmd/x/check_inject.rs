//! `meshctl x check-inject`: which webhook gives a pod its proxy, or why none does.
//!
//! In: a pod of the cluster, or labels and a namespace of one that is to come. Out: a row for each injection webhook. What
//! the webhook itself decides after it was asked (hostNetwork, annotations) is in the reason, too.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use api::Kind;
use clap::Args;
use pilot::webhook::inject::NEVER;
use serde_json::Value;

use super::injector::in_cluster;
use crate::client::hooks::{Hook, Labels};
use crate::client::{Mesh, What};
use crate::cmd::printed::{BadUsage, Printed, code};
use crate::cmd::xds::labels;
use crate::globals::{Globals, Short};
use crate::render::Table;

/// Tell which webhook injects a pod, or why none does
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    meshctl x check-inject details-v1-fcff6c49c-kqnfk.test\n  \
    meshctl x check-inject -n test deploy/details-v1\n  \
    meshctl x check-inject -n test -l app=helloworld,version=v1\n  \
    meshctl x check-inject -n test                 a pod that says nothing itself")]
pub(super) struct CheckInject {
    /// [TYPE/]POD[.NAMESPACE]
    pod: Option<String>,
    /// Labels of a pod that is to come: KEY=VALUE,...
    #[arg(short, long, value_name = "LABELS", conflicts_with = "pod")]
    labels: Option<String>,
    #[command(flatten)]
    flags: Short,
}

pub(super) fn run(args: &CheckInject, globals: &Globals) -> Result<Printed> {
    let globals = globals.with(&args.flags);
    if args.pod.is_none() && args.labels.is_none() && globals.said_namespace().is_none() {
        let text = "say which pod, or its labels with -l and its namespace with -n: meshctl x check-inject deploy/web";
        bail!(BadUsage(text.to_owned()));
    }
    let mesh = in_cluster(&globals)?;
    let (namespace, pod) = match &args.pod {
        Some(name) => {
            let pod = mesh.pod(name)?;
            let objects = mesh.objects(&[Kind::Pod], Some(&pod.namespace))?;
            let found = objects.into_iter().find(|one| one["metadata"]["name"] == pod.name.as_str());
            (pod.namespace, found.unwrap_or_default())
        }
        None => {
            let pairs = labels(args.labels.as_deref().unwrap_or_default())?;
            let pairs: BTreeMap<String, String> = pairs.into_iter().collect();
            (mesh.namespace().to_owned(), serde_json::json!({"metadata": {"labels": pairs}}))
        }
    };
    let namespaces = mesh.objects(&[Kind::Namespace], None)?;
    let Some(of_namespace) = namespaces.iter().find(|one| one["metadata"]["name"] == namespace.as_str())
    else {
        bail!("there is no namespace {namespace} in {}", mesh.place());
    };
    let hooks = Hook::all(&webhooks(&mesh)?);
    Ok(told(&hooks, &namespace, of_namespace, &pod))
}

fn webhooks(mesh: &Mesh) -> Result<Vec<Value>> {
    mesh.lists(&[What::MUTATING], None).into_iter().try_fold(Vec::new(), |mut all, list| {
        all.extend(list?);
        Ok(all)
    })
}

fn told(hooks: &[Hook], namespace: &str, of_namespace: &Value, pod: &Value) -> Printed {
    if hooks.is_empty() {
        let err = "ERROR: no Istio injection webhook present; `meshctl install` installs one.\n".to_owned();
        return Printed { err, code: code::FAILED, ..Printed::default() };
    }
    let labels = |object: &Value| -> Labels {
        serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default()
    };
    let mut of_namespace = labels(of_namespace);
    of_namespace.entry("kubernetes.io/metadata.name".to_owned()).or_insert_with(|| namespace.to_owned());
    let mut table = Table::tight(&["WEBHOOK", "REVISION", "INJECTED", "REASON"]);
    let mut injectors = 0;
    for hook in hooks {
        let (asked, mut reason) = hook.decide(&of_namespace, &labels(pod));
        let declined = declined(namespace, pod).filter(|_| asked);
        if let Some(why) = declined {
            reason = format!("{reason}, but {why}");
        }
        let injected = asked && declined.is_none();
        injectors += usize::from(injected);
        table.row([hook.name.as_str(), &hook.revision, if injected { "✔" } else { "✘" }, &reason]);
    }
    let mut printed = Printed::out(table.to_string());
    if injectors > 1 {
        printed.err =
            "ERROR: multiple webhooks will inject, which can lead to errors: a pod would get two proxies.\n"
                .to_owned();
        printed.code = code::FAILED;
    }
    printed
}

/// Why the injector leaves a pod alone that it is asked about.
fn declined(namespace: &str, pod: &Value) -> Option<&'static str> {
    const INJECT: &str = "sidecar.istio.io/inject";
    let said = &pod["metadata"]["annotations"][INJECT];
    let label = &pod["metadata"]["labels"][INJECT];
    if NEVER.contains(&namespace) {
        return Some("the injector leaves this namespace out");
    }
    if pod["spec"]["hostNetwork"] == true {
        return Some("its network is the node's (hostNetwork)");
    }
    (said == "false" && label.is_null())
        .then_some("pod annotation sidecar.istio.io/inject=false disables injection")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_row_for_each_webhook() {
        let hook = |name: &str, revision: &str, label: &str| {
            json!({"metadata": {"name": name, "labels": {"istio.io/rev": revision}}, "webhooks": [
                {"name": "namespace.sidecar-injector.istio.io", "namespaceSelector": {"matchLabels": {"istio.io/rev": label}}}]})
        };
        let hooks = Hook::all(&[hook("b", "canary", "canary"), hook("a", "default", "prod")]);
        let namespace = json!({"metadata": {"name": "n", "labels": {"istio.io/rev": "prod"}}});
        let out = told(&hooks, "n", &namespace, &json!({}));
        assert_eq!(
            out.out,
            "WEBHOOK REVISION INJECTED REASON\n\
             a       default  ✔        Namespace label istio.io/rev=prod matches\n\
             b       canary   ✘        No matching namespace labels (istio.io/rev=canary) or pod labels ()\n"
        );
        let alone = told(&hooks, "n", &namespace, &json!({"spec": {"hostNetwork": true}}));
        assert!(
            alone.out.contains("✘        Namespace label istio.io/rev=prod matches, but its network"),
            "{}",
            alone.out
        );
        let twice = Hook::all(&[hook("a", "x", "prod"), hook("b", "y", "prod")]);
        assert_eq!(told(&twice, "n", &namespace, &json!({})).code, 1);
        assert_eq!(told(&[], "n", &namespace, &json!({})).code, 1);
    }
}
