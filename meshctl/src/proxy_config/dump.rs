//! A proxy's `/config_dump`: finding the messages in it, whether they are static, dynamic or endpoint assignments.

use anyhow::{Context, Result};
use serde_json::Value;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Form {
    #[default]
    Short,
    Json,
    Yaml,
}

impl std::str::FromStr for Form {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "short" | "table" | "" => Ok(Form::Short),
            "json" => Ok(Form::Json),
            "yaml" => Ok(Form::Yaml),
            other => Err(format!("output format {other:?} is not known: use short, json or yaml")),
        }
    }
}

/// The parts of a dump.
#[derive(Clone, Debug)]
pub struct Dump(Value);

impl Dump {
    /// Reads the JSON of `/config_dump`.
    ///
    /// # Errors
    /// It is no JSON, or no dump.
    pub fn read(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("a config dump is JSON, this is not")?;
        anyhow::ensure!(value["configs"].is_array(), "a config dump has a list `configs`, this has none");
        Ok(Self(value))
    }

    fn section(&self, name: &str) -> impl Iterator<Item = &Value> {
        let wanted = format!("type.googleapis.com/envoy.admin.v3.{name}");
        let configs = self.0["configs"].as_array().into_iter().flatten();
        configs.filter(move |config| config["@type"] == wanted.as_str())
    }

    /// Every entry of some lists of a section, each reduced to one field of it.
    fn entries<'a>(&'a self, section: &str, lists: &'a [&'a str], field: &'a str) -> Vec<&'a Value> {
        let found = self.section(section).flat_map(move |part| {
            lists.iter().flat_map(move |list| part[*list].as_array().into_iter().flatten())
        });
        found.map(|entry| &entry[field]).filter(|message| message.is_object()).collect()
    }

    /// `envoy.config.cluster.v3.Cluster` messages.
    pub fn clusters(&self) -> Vec<&Value> {
        self.entries("ClustersConfigDump", &["static_clusters", "dynamic_active_clusters"], "cluster")
    }

    /// `envoy.config.listener.v3.Listener` messages.
    pub fn listeners(&self) -> Vec<&Value> {
        let mut all = self.entries("ListenersConfigDump", &["static_listeners"], "listener");
        all.extend(self.dynamic_listeners());
        all
    }

    /// Clusters that came by discovery.
    pub fn dynamic_clusters(&self) -> Vec<&Value> {
        self.entries("ClustersConfigDump", &["dynamic_active_clusters"], "cluster")
    }

    /// Listeners that came by discovery.
    pub fn dynamic_listeners(&self) -> Vec<&Value> {
        let states = self.entries("ListenersConfigDump", &["dynamic_listeners"], "active_state");
        states.into_iter().map(|state| &state["listener"]).filter(|listener| listener.is_object()).collect()
    }

    /// Routes that came by discovery.
    pub fn dynamic_routes(&self) -> Vec<&Value> {
        self.entries("RoutesConfigDump", &["dynamic_route_configs"], "route_config")
    }

    /// When the routes changed last.
    pub fn routes_loaded(&self) -> Option<&str> {
        let lists =
            self.section("RoutesConfigDump").flat_map(|part| part["dynamic_route_configs"].as_array());
        lists.flatten().filter_map(|entry| entry["last_updated"].as_str()).max()
    }

    /// `envoy.config.core.v3.TypedExtensionConfig` messages.
    pub fn extensions(&self) -> Vec<&Value> {
        self.entries("EcdsConfigDump", &["ecds_filters"], "ecds_filter")
    }

    /// `envoy.config.route.v3.RouteConfiguration` messages.
    pub fn routes(&self) -> Vec<&Value> {
        self.entries("RoutesConfigDump", &["static_route_configs", "dynamic_route_configs"], "route_config")
    }

    /// `envoy.config.endpoint.v3.ClusterLoadAssignment` messages; only in a dump asked for with `include_eds`.
    pub fn endpoints(&self) -> Vec<&Value> {
        let lists = &["static_endpoint_configs", "dynamic_endpoint_configs"];
        self.entries("EndpointsConfigDump", lists, "endpoint_config")
    }

    /// Secrets, each with whether it is active.
    pub fn secrets(&self) -> Vec<(&Value, bool)> {
        let list = |name: &'static str, active: bool| {
            let entries = self.section("SecretsConfigDump").flat_map(move |part| part[name].as_array());
            entries.flatten().map(move |entry| (&entry["secret"], active))
        };
        let active = list("static_secrets", true).chain(list("dynamic_active_secrets", true));
        active.chain(list("dynamic_warming_secrets", false)).collect()
    }

    /// The bootstrap message.
    pub fn bootstrap(&self) -> Option<&Value> {
        self.section("BootstrapConfigDump").map(|part| &part["bootstrap"]).next()
    }
}

/// Messages in lower camel case as istioctl prints them, in the wanted form.
pub(super) fn messages(type_name: &str, list: &[&Value], form: Form) -> Result<String> {
    let mut out = Vec::new();
    for message in list {
        out.push(camel(type_name, message));
    }
    text(&Value::Array(out), form)
}

/// One value as text.
///
/// # Errors
/// It has no such form.
pub fn text(value: &Value, form: Form) -> Result<String> {
    Ok(match form {
        Form::Yaml => serde_saphyr::to_string(value).context("YAML")?,
        Form::Json | Form::Short => serde_json::to_string_pretty(value)? + "\n",
    })
}

/// Through the message type, so that only field names change and no key of a map. What the types do not know
/// stays as it is.
pub(super) fn camel(type_name: &str, message: &Value) -> Value {
    // Envoy dumps messages as `Any`, with their type beside their fields.
    let mut bare = message.clone();
    if let Some(map) = bare.as_object_mut() {
        map.shift_remove("@type");
    }
    match wire::reflect::from_json(type_name, &bare) {
        Ok(bytes) => wire::reflect::to_json(&format!("type.googleapis.com/{type_name}"), &bytes, false),
        Err(_) => bare,
    }
}

/// `NAME.NAMESPACE` of the object that a resource says it comes from (`filter_metadata.istio.config`), if it is of
/// this kind.
pub(super) fn origin(message: &Value, kind: &str) -> Option<String> {
    let path = message["metadata"]["filter_metadata"]["istio"]["config"].as_str()?;
    // /apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [_, _, _, "namespaces", namespace, found, name] if *found == kind => {
            Some(format!("{name}.{namespace}"))
        }
        _ => None,
    }
}
