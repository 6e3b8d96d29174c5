//! The injection of one pod, step by step.
//!
//! In: a pod and [`Facts`]. Out: the pod with its proxy, or why not, in words for who made the pod. Pure; the order of the
//! steps is written here only. Called by `webhook::review` and `meshctl kube-inject`.

use std::collections::BTreeMap;

use api::mesh::MeshConfig;
use serde_json::{Value, json};

use super::config::Injector;
use super::data::{self, About};
use super::overlay::overlay;
use super::owner::Owner;
use super::pod::{annotation, text};
use super::proxies::Proxies;
use super::{annotations, finish, own, proxy};

/// What decides about a pod beside the pod.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub injector: &'a Injector,
    pub mesh: &'a MeshConfig,
    /// This control plane's, `default` where it has no name.
    pub revision: &'a str,
    /// Whether the node can run a proxy as an init container that stays.
    pub native_sidecars: bool,
    /// Labels of the pod's namespace.
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// ProxyConfig objects that mean the pod.
    pub proxies: Proxies<'a>,
    /// Variables for the proxy that the webhook's path gives.
    pub environment: &'a BTreeMap<String, String>,
}

/// Adds the proxy. The pod's namespace is `namespace` unless it says one; `owner` where the pod cannot tell.
///
/// # Errors
/// An annotation has a value that means nothing, a template is missing or fails, or what it makes is no pod.
pub fn inject(
    pod: &Value,
    namespace: &str,
    owner: Option<&Owner>,
    facts: &Facts<'_>,
) -> Result<Value, String> {
    annotations::check(pod)?;
    let config = proxy::config(&facts.mesh.default_config, &facts.proxies, pod)?;
    let port = config.status_port;
    let status_port =
        u16::try_from(port).map_err(|_| format!("proxy setting statusPort: {port} is no port"))?;
    let derived;
    let owner = match owner {
        Some(owner) => owner,
        None => {
            let said = text(pod, "/metadata/namespace");
            derived = Owner::of(pod, if said.is_empty() { namespace } else { said });
            &derived
        }
    };
    let before = own::before(pod, &status_port.to_string());
    let json = proxy::json(&config);
    let about = About {
        owner,
        proxy_config: &json,
        mesh: serde_json::to_value(facts.mesh).unwrap_or_default(),
        values: &facts.injector.values,
        revision: facts.revision,
        native_sidecars: facts.native_sidecars,
        image: proxy::image(&facts.injector.values, &config, pod),
    };
    let dot = data::dot(&before, &about);
    let mut made = json!({});
    for template in facts.injector.templates(annotation(pod, "inject.istio.io/templates"))? {
        overlay(&mut made, &rendered(&template.render(&dot)?)?);
    }
    let mut merged = own::prepared(pod, &made);
    overlay(&mut merged, &made);
    let overrides = own::again(pod, &made, &mut merged);
    own::user_of_redirection(&overrides, &mut merged);
    let hold = config.hold_application_until_proxy_starts.unwrap_or_default()
        || facts.injector.values.pointer("/global/proxy/holdApplicationUntilProxyStarts")
            == Some(&json!(true));
    finish::finish(&mut merged, &made, facts, hold, status_port);
    check(&merged)?;
    Ok(merged)
}

/// The partial pod that a template made.
fn rendered(text: &str) -> Result<Value, String> {
    let documents = api::yaml::load(text, 1).map_err(|error| {
        let line = text.lines().nth(error.line.saturating_sub(1) as usize).unwrap_or_default();
        format!(
            "the injection template gives no YAML: line {} of its output ({line:?}): {}",
            error.line, error.message
        )
    })?;
    match documents.into_iter().next().map(|document| document.value).unwrap_or_default() {
        Value::Null => Ok(json!({})),
        value @ Value::Object(_) => Ok(value),
        _ => Err("the injection template gives no mapping".to_owned()),
    }
}

/// Whether the API server can read it: its own message would not say that a template is to blame.
fn check(pod: &Value) -> Result<(), String> {
    match serde_json::from_value::<k8s_openapi::api::core::v1::Pod>(pod.clone()) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "the injected pod is no pod: {error}; look at the injection template and the pod's annotations"
        )),
    }
}
