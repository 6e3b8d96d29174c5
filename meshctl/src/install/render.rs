//! One chart to objects, as `helm template` does it.
//!
//! In: a chart's name, release and values. Out: the objects in the order of the templates' names, or what the chart
//! complains about. Called by `cmd/manifest`. The result is Helm's, object by object; `charts/golden` is the proof.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, anyhow, bail};
use gotmpl::{Template, Value};
use pilot::template::{self as functions, from_json, yaml};
use regex::Regex;
use serde_json::{Value as Json, json};

use super::charts::Charts;

/// What Helm calls a release: one installation of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub name: String,
    pub namespace: String,
}

/// The objects of a chart with these values.
///
/// # Errors
/// A value is unknown or not honoured: the chart's own words, every value by name.
pub fn render(charts: &Charts, chart: &str, release: &Release, values: &Json) -> Result<Vec<Json>> {
    let templates = charts.templates(chart)?;
    let parsed = parse(charts, chart, &templates)?;
    let template = parsed.get().expect("parsed before it is used");
    let dot = dot(charts, chart, release, values)?;
    let mut names: Vec<&str> = templates.iter().map(|(name, _)| name.as_str()).collect();
    names.retain(|name| name.ends_with(".yaml"));
    names.sort_unstable();
    let mut objects = Vec::new();
    for name in names {
        let text =
            template.execute_template_to_string(name, &dot).map_err(|error| complaint(&error.to_string()))?;
        let documents = api::yaml::load(&text, 1).map_err(|error| {
            anyhow!("{chart}/{name}, line {} of its output: {}", error.line, error.message)
        })?;
        objects.extend(documents.into_iter().map(|document| document.value).filter(|value| !value.is_null()));
    }
    Ok(objects)
}

/// The defaults of a chart's values.
///
/// # Errors
/// There is no such chart.
pub(super) fn defaults(charts: &Charts, chart: &str) -> Result<Json> {
    let text = charts.file(chart, "values.yaml").with_context(|| format!("there is no chart {chart}"))?;
    let values = yaml(&text).map_err(|error| anyhow!("{chart}/values.yaml: {error}"))?;
    Ok(values["_internal_defaults_do_not_set"].clone())
}

/// What templates see.
fn dot(charts: &Charts, chart: &str, release: &Release, values: &Json) -> Result<Value> {
    let file = |path: &str| {
        let text = charts.file(chart, path).with_context(|| format!("there is no chart {chart}"))?;
        yaml(&text).map_err(|error| anyhow!("{chart}/{path}: {error}"))
    };
    let about = file("Chart.yaml")?;
    let mut all = file("values.yaml")?;
    functions::merge_over(&mut all, values);
    let dot = json!({
        "Values": all,
        "Release": {"Name": release.name, "Namespace": release.namespace, "Service": "Helm"},
        "Chart": {"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
    });
    from_json(&dot).map_err(|error| anyhow!("{error}"))
}

/// All templates of a chart as one, so that they can include each other.
fn parse(charts: &Charts, chart: &str, files: &[(String, Cow<'_, str>)]) -> Result<Arc<OnceLock<Template>>> {
    let whole: Arc<OnceLock<Template>> = Arc::new(OnceLock::new());
    let inside = Arc::downgrade(&whole);
    let (source, folder) = (charts.clone(), chart.to_owned());
    let mut template = Template::new(chart)
        .funcs(functions::functions())
        .func("include", move |args| {
            let (Some(Value::String(name)), Some(dot)) = (args.first(), args.get(1)) else {
                return Err(functions::failed("include needs a name and a value"));
            };
            let whole = inside.upgrade();
            let template = whole.as_ref().and_then(|whole| whole.get());
            let template = template.ok_or_else(|| functions::failed("include outside of rendering"))?;
            Ok(Value::String(template.execute_template_to_string(name, dot)?.into()))
        })
        .func("filesGet", move |args| {
            let path = args.first().and_then(Value::as_str).unwrap_or_default();
            Ok(Value::String(source.file(&folder, path).unwrap_or_default().into()))
        });
    // gotmpl has no methods with arguments; this is the only one that the charts use.
    let method = Regex::new(r"[$\w.]*\.Files\.Get\b").expect("a fixed pattern");
    for (name, text) in files {
        let text = method.replace_all(text, "filesGet");
        let text = if name.ends_with(".tpl") {
            text.into_owned()
        } else {
            format!("{{{{ define \"{name}\" }}}}{text}{{{{ end }}}}")
        };
        template = template.parse(&text).map_err(|error| anyhow!("{chart}/{name}: {error}"))?;
    }
    if files.is_empty() {
        bail!("there is no chart {chart}");
    }
    whole.set(template).map_err(|_| anyhow!("{chart} was parsed twice"))?;
    Ok(whole)
}

/// The chart's own words, without the places in templates that stand around them.
fn complaint(error: &str) -> anyhow::Error {
    let start = ["chart ", "profile \""].iter().filter_map(|word| error.find(word)).min();
    anyhow!("{}", start.and_then(|at| error.get(at..)).unwrap_or(error).trim_end())
}
