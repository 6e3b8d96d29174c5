//! The injector's settings: the ConfigMap `istio-sidecar-injector[-REVISION]`, its keys `config` and `values`.
//!
//! In: the two texts. Out: [`Injector`], with every template parsed, or what is wrong and where; then the settings that
//! were read before stay in force. Called when the ConfigMap changes, and by `meshctl kube-inject`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::meta::LabelSelector;
use serde_json::Value;

use super::functions::functions;
use crate::template::Program;

/// Settings of the injector.
#[derive(Clone, Debug)]
pub struct Injector {
    /// What pods get that nobody decided about: `enabled` (a proxy), `disabled` (none); anything else is never a proxy.
    pub policy: String,
    /// Pods with these labels get no proxy.
    pub never: Vec<LabelSelector>,
    /// Pods with these labels get one.
    pub always: Vec<LabelSelector>,
    /// Templates of pods that name none.
    pub default_templates: Vec<String>,
    /// Names that stand for several templates.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Annotations that every pod gets.
    pub annotations: BTreeMap<String, String>,
    /// `.Values` of templates.
    pub values: Value,
    /// Unknown settings, for the log.
    pub unknown: Vec<String>,
    templates: BTreeMap<String, Arc<Program>>,
    texts: BTreeMap<String, String>,
}

const FIELDS: &[&str] = &[
    "policy",
    "defaultTemplates",
    "aliases",
    "templates",
    "neverInjectSelector",
    "alwaysInjectSelector",
    "injectedAnnotations",
];

impl Injector {
    /// Reads the settings. `environment` is what the template function `env` sees.
    ///
    /// # Errors
    /// A text cannot be read, a field has another type, or a template is none; the error says where.
    pub fn read(config: &str, values: &str, environment: &BTreeMap<String, String>) -> Result<Self, String> {
        let config = document("config", config)?;
        let values = document("values", values)?;
        let names = config.as_object().ok_or("key config of the injector's ConfigMap is no mapping")?.keys();
        let unknown = names.filter(|name| !FIELDS.contains(&name.as_str())).cloned().collect();
        let texts: BTreeMap<String, String> = field(&config, "templates")?;
        let environment = Arc::new(environment.clone());
        let parse = |(name, text): (&String, &String)| {
            let parsed = Program::parse(name, text, functions(&environment))?;
            Ok((name.clone(), Arc::new(parsed)))
        };
        Ok(Self {
            policy: field::<Option<String>>(&config, "policy")?.unwrap_or_default(),
            never: field(&config, "neverInjectSelector")?,
            always: field(&config, "alwaysInjectSelector")?,
            default_templates: field(&config, "defaultTemplates")?,
            aliases: field(&config, "aliases")?,
            annotations: field(&config, "injectedAnnotations")?,
            values: if values.is_null() { Value::Object(serde_json::Map::new()) } else { values },
            unknown,
            templates: texts.iter().map(parse).collect::<Result<_, String>>()?,
            texts,
        })
    }

    /// The templates that a pod is made with, in order. `asked` is the annotation `inject.istio.io/templates`.
    ///
    /// # Errors
    /// There is no such template.
    pub(super) fn templates(&self, asked: Option<&str>) -> Result<Vec<Arc<Program>>, String> {
        let names: Vec<&str> = match asked {
            Some(list) => list.split(',').map(str::trim).collect(),
            None => self.default_templates.iter().map(String::as_str).collect(),
        };
        let meant = names.iter().flat_map(|name| match self.aliases.get(*name) {
            Some(list) => list.iter().map(String::as_str).collect(),
            None => vec![*name],
        });
        meant
            .map(|name| {
                self.templates.get(name).cloned().ok_or_else(|| {
                    let known: Vec<&str> = self.templates.keys().map(String::as_str).collect();
                    format!("requested template {name:?} not found; have {}", known.join(", "))
                })
            })
            .collect()
    }

    /// Texts of the templates by name, for `/debug/inject`.
    #[must_use]
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }
}

fn document(key: &str, text: &str) -> Result<Value, String> {
    let read = api::yaml::load(text, 1);
    let documents = read.map_err(|error| {
        format!("key {key} of the injector's ConfigMap, line {}: {}", error.line, error.message)
    })?;
    Ok(documents.into_iter().next().map(|document| document.value).unwrap_or_default())
}

fn field<T: serde::de::DeserializeOwned + Default>(config: &Value, name: &str) -> Result<T, String> {
    match config.get(name) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|error| format!("field {name} of the injector's config: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<Injector, String> {
        Injector::read(config, "{}", &BTreeMap::new())
    }

    #[test]
    fn templates_by_name_and_alias() {
        let config = "policy: enabled\ndefaultTemplates: [a]\naliases: {both: [a, b]}\ntemplates: {a: '{}', b: '{}'}\nx: 1";
        let injector = read(config).unwrap();
        let names = |asked| injector.templates(asked).map(|found| found.len());
        assert_eq!((names(None), names(Some("both")), names(Some("b , a"))), (Ok(1), Ok(2), Ok(2)));
        assert_eq!(names(Some("c")).unwrap_err(), "requested template \"c\" not found; have a, b");
        assert_eq!(injector.unknown, ["x"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert!(read("policy: [").unwrap_err().starts_with("key config of the injector's ConfigMap, line "));
        assert!(read("defaultTemplates: sidecar").unwrap_err().starts_with("field defaultTemplates "));
        let wrong = read("templates:\n  mine: |\n    a\n    {{ nothing }}\n").unwrap_err();
        assert_eq!(wrong, "template mine, line 2: there is no function nothing");
    }
}
