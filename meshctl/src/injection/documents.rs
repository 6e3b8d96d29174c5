//! Texts with objects: each workload in them injected, everything else as it was written.
//!
//! In: texts of files. Out: one text of all documents, and what people should know about those that stay without a proxy.
//! Nothing goes out where one document cannot be read or injected.

use anyhow::Result;
use serde_json::Value;

use super::settings::Settings;
use super::workload::{self, Outcome};
use crate::cmd::printed::BadInput;
use crate::local::input::Text;

/// What comes out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    pub text: String,
    /// Workloads that stay as they are, with file and line.
    pub left: Vec<String>,
}

/// Injects into all workloads of these texts, which are in `namespace` unless they say another.
///
/// # Errors
/// A document is no YAML, or its pod cannot be injected: file and line are said.
pub fn inject(texts: &[Text], namespace: &str, settings: &Settings) -> Result<Injected> {
    let mut injected = Injected::default();
    let mut documents = Vec::new();
    for text in texts {
        for (line, part) in api::parse::documents(&text.text) {
            let found = api::yaml::load(&part, line)
                .map_err(|error| BadInput(format!("{}:{}: {}", text.name, error.line, error.message)))?;
            let mut changed = false;
            let mut made = Vec::new();
            for document in found {
                let place = format!("{}:{}", text.name, document.lines.line.max(line));
                let mut at = At { place, namespace, settings, injected: &mut injected };
                let value = at.object(&document.value)?;
                changed |= value.is_some();
                made.push(value.unwrap_or(document.value));
            }
            if changed {
                documents.extend(made.iter().map(api::emit::to_yaml));
            } else if !part.trim().is_empty() {
                documents.push(format!("{}\n", trimmed(&part)));
            }
        }
    }
    injected.text = documents.join("---\n");
    Ok(injected)
}

/// A document without blank lines around it.
fn trimmed(part: &str) -> &str {
    let mut rest = part;
    while let Some((_, tail)) = rest.split_once('\n').filter(|(line, _)| line.trim().is_empty()) {
        rest = tail;
    }
    rest.trim_end()
}

/// Where an object stands.
struct At<'a> {
    place: String,
    namespace: &'a str,
    settings: &'a Settings,
    injected: &'a mut Injected,
}

impl At<'_> {
    /// The object with its proxy, or nothing where it stays as it is.
    fn object(&mut self, object: &Value) -> Result<Option<Value>> {
        if object["kind"] == "List" && object["items"].is_array() {
            return self.list(object);
        }
        let (name, namespace) = (&object["metadata"]["name"], &object["metadata"]["namespace"]);
        let what = format!(
            "{} {}/{}",
            object["kind"].as_str().unwrap_or_default(),
            namespace.as_str().unwrap_or(self.namespace),
            name.as_str().unwrap_or_default()
        );
        match workload::inject(object, self.namespace, self.settings) {
            Ok(Outcome::Injected(made)) => Ok(Some(made)),
            Ok(Outcome::NoWorkload) => Ok(None),
            Ok(Outcome::Left(why)) => {
                self.injected.left.push(format!("{}: {what} gets no proxy: {why}", self.place));
                Ok(None)
            }
            Err(error) => Err(BadInput(format!("{}: {what}: {error}", self.place)).into()),
        }
    }

    fn list(&mut self, list: &Value) -> Result<Option<Value>> {
        let mut made = list.clone();
        let mut changed = false;
        for item in made["items"].as_array_mut().into_iter().flatten() {
            if let Some(injected) = self.object(item)? {
                *item = injected;
                changed = true;
            }
        }
        Ok(changed.then_some(made))
    }
}
