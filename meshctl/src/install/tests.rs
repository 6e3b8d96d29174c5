//! What is rendered here is what Helm renders: every case of `charts/golden`, object by object. Order of keys and the
//! way to quote may differ, also in texts that are YAML themselves.

use std::collections::BTreeMap;
use std::path::Path;

use pilot::template as functions;
use serde_json::{Value, json};

use super::{Charts, Release, plan, read_operator, render, set};

/// By kind and name.
fn named(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let name = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    objects.into_iter().map(|object| (name(&object), plain(object))).collect()
}

/// Without what two writers of YAML may do differently.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, plain(value))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::String(text) if text.contains('\n') => match functions::yaml(&text) {
            Ok(value) if value.is_object() => plain(value),
            _ => Value::String(named_templates(text)),
        },
        value => value,
    }
}

/// Templates of the injection are only named, as in the golden files.
fn named_templates(text: String) -> String {
    ["parts", "sidecar", "gateway", "grpc-simple"].iter().fold(text, |text, name| {
        let path = format!("files/injection-{name}.yaml");
        text.replace(super::embedded::file("istiod", &path).unwrap(), &format!("# {path}\n"))
    })
}

fn documents(text: &str) -> Vec<Value> {
    let documents = api::yaml::load(text, 1).unwrap();
    documents.into_iter().map(|document| document.value).filter(|value| !value.is_null()).collect()
}

fn case(chart: &str, path: &Path) {
    let name = path.display();
    let text = std::fs::read_to_string(path).unwrap();
    let (input, expected) = text.split_once("# Output\n").unwrap();
    let line = |start: &str| input.lines().find_map(|line| line.strip_prefix(start));
    let usual = if chart == "base" { "istio-base" } else { chart };
    let (release, namespace) =
        line("# release ").and_then(|line| line.split_once(" in ")).unwrap_or((usual, "istio-system"));
    let release = Release { name: release.to_owned(), namespace: namespace.to_owned() };
    let values = documents(input).pop().unwrap_or(json!({}));
    match render(&Charts::Own, chart, &release, &values) {
        Err(error) => {
            let told: String = error.to_string().lines().map(|line| format!("# error: {line}\n")).collect();
            assert_eq!(told, expected, "{name}");
        }
        Ok(objects) => {
            let mut made = named(objects);
            let expected = named(documents(expected));
            made.retain(|key, _| !key.contains("CustomResourceDefinition"));
            if line("# only ").is_some() {
                made.retain(|key, _| expected.contains_key(key));
            }
            assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
            for (key, object) in made {
                assert_eq!(object, expected[&key], "{name}: {key}");
            }
        }
    }
}

#[test]
fn as_helm_renders() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/golden");
    let mut cases = 0;
    for chart in ["base", "istiod", "gateway"] {
        for entry in std::fs::read_dir(golden.join(chart)).unwrap() {
            case(chart, &entry.unwrap().path());
            cases += 1;
        }
    }
    assert!(cases >= 25, "{cases}");
}

fn planned(operator: &str, words: &[&str]) -> anyhow::Result<Vec<(String, Value)>> {
    let mut spec = json!({});
    if !operator.is_empty() {
        let text = format!("apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n{operator}");
        read_operator("operator.yaml", &text, &mut spec, &mut Default::default())?;
    }
    for word in words {
        set(word, &mut spec)?;
    }
    let components = plan(&spec)?;
    for component in &components {
        render(&Charts::Own, component.chart, &component.release, &component.values)?;
    }
    let line =
        |c: super::Component| (format!("{} {}/{}", c.chart, c.release.namespace, c.release.name), c.values);
    Ok(components.into_iter().map(line).collect())
}

fn names(operator: &str, words: &[&str]) -> Vec<String> {
    planned(operator, words)
        .unwrap_or_else(|error| panic!("{words:?} {operator}: {error}"))
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn values_without_fields_are_mappings() {
    assert_eq!(functions::yaml("# Nothing.\n{}\n").unwrap(), json!({}));
    for chart in ["base", "gateway", "istiod"] {
        let release = Release { name: "a".into(), namespace: "b".into() };
        for values in [json!({}), json!({"profile": "default"}), json!({"profile": "default", "global": {}})]
        {
            render(&Charts::Own, chart, &release, &values)
                .unwrap_or_else(|error| panic!("{chart} {values}: {error}"));
        }
    }
}

#[test]
fn profiles_choose_components() {
    let (base, istiod) = ("base istio-system/istio-base", "istiod istio-system/istiod");
    let (ingress, egress) =
        ("gateway istio-system/istio-ingressgateway", "gateway istio-system/istio-egressgateway");
    assert_eq!(names("", &[]), [base, istiod, ingress]);
    assert_eq!(names("", &["profile=demo"]), [base, istiod, ingress, egress]);
    assert_eq!(names("", &["profile=minimal"]), [base, istiod]);
    assert_eq!(names("", &["profile=empty"]), [] as [&str; 0]);
    assert_eq!(names("", &["profile=empty", "components.pilot.enabled=true"]), [istiod]);
    assert_eq!(names("", &["revision=canary"])[1], "istiod istio-system/istiod-canary");
    let operator = "  components:\n    ingressGateways:\n    - {name: istio-ingressgateway, enabled: false}\n    \
                    - {name: edge, namespace: edge, enabled: true, label: {istio: edge}}\n";
    assert_eq!(names(operator, &[]), [base, istiod, "gateway edge/edge"]);
}

#[test]
fn settings_reach_their_charts() {
    let words = [
        "hub=registry.example.com",
        "tag=2",
        "meshConfig.accessLogFile=/dev/stdout",
        "values.pilot.env.A=b",
        "components.pilot.k8s.replicaCount=3",
        "values.gateways.istio-ingressgateway.type=NodePort",
    ];
    let all = planned("", &words).unwrap();
    let istiod = &all[1].1;
    assert_eq!(istiod["global"]["hub"], "registry.example.com");
    assert_eq!(istiod["meshConfig"]["accessLogFile"], "/dev/stdout");
    assert_eq!((&istiod["pilot"]["env"]["A"], &istiod["replicaCount"]), (&json!("b"), &json!(3)));
    assert_eq!(all[2].1["service"]["type"], "NodePort");
    assert_eq!(all[2].1["service"]["ports"][1]["targetPort"], 8080);
}

#[test]
fn what_cannot_be_done_is_named() {
    for (words, told) in [
        (["profile=dmeo"], "profile \"dmeo\" is not known"),
        (["components.cni.enabled=true"], "components.cni is not honoured"),
        (["component.pilot.enabled=true"], "component is not known"),
        (["values.pilot.replicas=2"], "value pilot.replicas is not known"),
        (["values.global.network=x"], "value global.network is not honoured"),
        (
            ["components.pilot.k8s.overlays[0].kind=Deployment"],
            "components.pilot.k8s.overlays is not honoured",
        ),
        (
            ["values.gateways.istio-ingressgateway.sds=1"],
            "values.gateways.istio-ingressgateway.sds is not honoured",
        ),
    ] {
        let error = planned("", &words).unwrap_err().to_string();
        assert!(error.contains(told), "{words:?}: {error}");
    }
}
