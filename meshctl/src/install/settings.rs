//! What the user wants, as one IstioOperator `spec`: from files and from `--set`.
//!
//! In: texts of IstioOperator files in order, `PATH=VALUE` words. Out: a merged spec, later wins. `plan` reads it.

use anyhow::{Context, Result, bail};
use api::yaml::Document;
use pilot::template::merge_over;
use serde_json::{Map, Value, json};

use super::origins::Origins;

/// Reads a text with one IstioOperator and merges its spec over `spec`.
///
/// # Errors
/// It is no YAML or no IstioOperator.
pub fn read_operator(name: &str, text: &str, spec: &mut Value, origins: &mut Origins) -> Result<()> {
    let documents = api::yaml::load(text, 1)
        .map_err(|error| anyhow::anyhow!("{name}:{}: {}", error.line, error.message))?;
    let mut some = false;
    for Document { value: document, lines, .. } in documents {
        if document.is_null() {
            continue;
        }
        some = true;
        let of = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        if (of("apiVersion").as_str(), of("kind").as_str()) != ("install.istio.io/v1alpha1", "IstioOperator")
        {
            bail!(
                "{name}:{}: this is {} {}; write apiVersion install.istio.io/v1alpha1, kind IstioOperator, and values for charts below spec.values",
                lines.line,
                said(&of("apiVersion")),
                said(&of("kind"))
            );
        }
        if let Some(wanted) = document.get("spec") {
            merge_over(spec, wanted);
            origins.file(name, wanted, lines.child("spec").unwrap_or(&lines));
        }
        if let Some(namespace) =
            document.pointer("/metadata/namespace").filter(|_| spec.get("namespace").is_none())
        {
            spec["namespace"] = namespace.clone();
        }
    }
    if !some {
        bail!("{name}: there is no IstioOperator in it");
    }
    Ok(())
}

fn said(word: &str) -> String {
    if word.is_empty() { "nothing".to_owned() } else { format!("{word:?}") }
}

/// Sets what `PATH=VALUE` says: `values.pilot.env.A=b`, `components.ingressGateways[0].enabled=false`, `a\.b=c`.
///
/// # Errors
/// No `=`, or a path that does not fit what is there.
pub fn set(word: &str, spec: &mut Value) -> Result<()> {
    let (path, value) = word.split_once('=').with_context(|| format!("--set {word}: write PATH=VALUE"))?;
    let mut place = spec;
    for step in steps(path).with_context(|| format!("--set {word}: write the path as a.b or a.b[0].c"))? {
        place = match step {
            Step::Key(key) => {
                if place.is_null() {
                    *place = Value::Object(Map::new());
                }
                let shown = place.to_string();
                let map = place.as_object_mut();
                let map = map.with_context(|| format!("--set {word}: there is no {key} in {shown}"))?;
                map.entry(key).or_insert(Value::Null)
            }
            Step::Index(index) => {
                if place.is_null() {
                    *place = json!([]);
                }
                let shown = place.to_string();
                let items = place.as_array_mut();
                let items = items.with_context(|| format!("--set {word}: {shown} is no list"))?;
                if index > items.len() {
                    bail!(
                        "--set {word}: the list has {} entries; [{}] is the next one",
                        items.len(),
                        items.len()
                    );
                }
                if index == items.len() {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
        };
    }
    *place = scalar(value);
    Ok(())
}

enum Step {
    Key(String),
    Index(usize),
}

/// The parts of a path; `\.` is a dot inside a key.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut key = String::new();
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => key.push(letters.next()?),
            '.' => {
                if !key.is_empty() {
                    steps.push(Step::Key(std::mem::take(&mut key)));
                }
                letters.peek()?;
            }
            '[' => {
                if !key.is_empty() {
                    steps.push(Step::Key(std::mem::take(&mut key)));
                }
                let digits: String = letters.by_ref().take_while(|letter| *letter != ']').collect();
                steps.push(Step::Index(digits.parse().ok()?));
            }
            letter => key.push(letter),
        }
    }
    if !key.is_empty() {
        steps.push(Step::Key(key));
    }
    (!steps.is_empty()).then_some(steps)
}

/// A word as YAML has it: numbers, truth values, null, `{}` and `[]`; everything else is text.
fn scalar(word: &str) -> Value {
    match api::yaml::load(word, 1).ok().and_then(|documents| documents.into_iter().next()) {
        Some(document) => match document.value {
            Value::Object(map) if !map.is_empty() && !word.starts_with('{') => Value::from(word),
            value => value,
        },
        None => Value::from(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_values() {
        let mut spec = json!({"components": {"ingressGateways": [{"name": "a"}]}});
        for word in [
            "profile=demo",
            "values.pilot.env.PILOT_HTTP10=true",
            "values.global.tag=1.29",
            "components.ingressGateways[0].enabled=false",
            "components.ingressGateways[1].name=b",
            r"values.pilot.nodeSelector.kubernetes\.io/os=linux",
            "meshConfig.accessLogFile=/dev/stdout",
            "values.empty=",
        ] {
            set(word, &mut spec).unwrap();
        }
        assert_eq!(spec["profile"], "demo");
        assert_eq!(spec["values"]["pilot"]["env"]["PILOT_HTTP10"], true);
        assert_eq!(
            spec["components"]["ingressGateways"],
            json!([{"name": "a", "enabled": false}, {"name": "b"}])
        );
        assert_eq!(spec["values"]["pilot"]["nodeSelector"]["kubernetes.io/os"], "linux");
        assert_eq!(spec["values"]["empty"], "");
        for word in ["profile", "=x", "a.=b", "profile.x=1", "components.ingressGateways[7].name=x", "a[b]=c"]
        {
            assert!(set(word, &mut spec).is_err(), "{word}");
        }
    }

    #[test]
    fn files_are_operators() {
        let mut spec = json!({"profile": "default"});
        let text = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {namespace: mesh}\nspec:\n  profile: demo\n";
        read_operator("a.yaml", text, &mut spec, &mut Origins::default()).unwrap();
        assert_eq!(spec, json!({"profile": "demo", "namespace": "mesh"}));
        let wrong = read_operator("b.yaml", "global: {}\n", &mut spec, &mut Origins::default())
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("b.yaml") && wrong.contains("IstioOperator"), "{wrong}");
    }
}
