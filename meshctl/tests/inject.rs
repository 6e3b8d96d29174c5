//! What pods become, case by case, with the injector's settings as the chart makes them.
//!
//! `inject/CASE.yaml` is a pod, perhaps with its namespace and an IstioOperator, and after `# Output` the injected pod or why there is none.
//! Comments before it choose: `# set: PATH=VALUE` (of the installation), `# revision: NAME`, `# path: /inject/...`, `# native`
//! (the nodes can do native sidecars), `# show: POINTER` (only this part of the result, as often as needed). With `BLESS=1`
//! outputs are written anew. For every case: the patch of the webhook gives the same pod, and so does a second injection.

// A test that cannot set itself up has failed, and the panic says where.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use api::Findings;
use api::mesh::{MeshConfig, mesh_config};
use meshctl::install::{Installation, Request};
use meshctl::local::input::Text;
use pilot::webhook::inject::{Facts, Injector, Proxies, inject, required};
use pilot::webhook::variables;
use serde_json::{Value, json};

const OUTPUT: &str = "# Output\n";

struct Case {
    path: PathBuf,
    input: String,
    output: String,
}

impl Case {
    fn all() -> Vec<Case> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inject");
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).unwrap();
            let (input, output) = text.split_once(OUTPUT).unwrap_or((&text, ""));
            Case { input: input.to_owned(), output: output.to_owned(), path }
        };
        paths.into_iter().map(read).collect()
    }

    fn words<'a>(&'a self, key: &str) -> Vec<&'a str> {
        let start = format!("# {key}: ");
        self.input.lines().filter_map(|line| line.strip_prefix(&start)).map(str::trim).collect()
    }

    /// Documents that say more about the installation than a line can.
    fn operators(&self) -> Vec<Text> {
        let documents = self.input.split("---\n").filter(|text| text.contains("\nkind: IstioOperator\n"));
        documents
            .map(|text| Text {
                name: "operator.yaml".to_owned(),
                path: PathBuf::new(),
                text: text.to_owned(),
            })
            .collect()
    }

    /// The ConfigMaps of the installation.
    fn settings(&self) -> (Injector, MeshConfig) {
        let mut set = vec!["profile=minimal".to_owned()];
        set.extend(self.words("set").into_iter().map(str::to_owned));
        let revision = self.words("revision").first().map(|name| (*name).to_owned());
        let files = self.operators();
        let request = Request { files, set, revision, ..Request::default() };
        let installation = Installation::of(&request).unwrap();
        let objects: Vec<&Value> = installation.parts.iter().flat_map(|part| &part.objects).collect();
        let data = |key: &str| {
            let of_key = |object: &&Value| Some(object["data"].get(key)?.as_str()?.to_owned());
            objects.iter().find_map(of_key).unwrap()
        };
        let mut findings = Findings::new();
        let mesh = mesh_config("mesh", &data("mesh"), &mut findings);
        assert!(findings.is_empty(), "{}: {findings}", self.path.display());
        (Injector::read(&data("config"), &data("values"), &BTreeMap::new()).unwrap(), mesh)
    }

    fn run(&self) -> String {
        let mut pod = None;
        let mut labels = BTreeMap::new();
        for document in api::yaml::load(&self.input, 1).unwrap() {
            match document.value["kind"].as_str() {
                Some("Namespace") => {
                    labels = serde_json::from_value(document.value["metadata"]["labels"].clone()).unwrap()
                }
                Some("Pod") => pod = Some(document.value),
                _ => {}
            }
        }
        let pod = pod.unwrap_or_else(|| panic!("{}: no Pod", self.path.display()));
        let (injector, mesh) = self.settings();
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let own: BTreeMap<String, String> =
            serde_json::from_value(pod["metadata"]["labels"].clone()).unwrap_or_default();
        let objects = api::parse("case.yaml", &self.input).objects;
        let objects = objects.iter().filter_map(|object| object.get::<api::networking::ProxyConfig>());
        let facts = Facts {
            proxies: Proxies::of(objects, "istio-system", &namespace, &own),
            injector: &injector,
            mesh: &mesh,
            revision: self.words("revision").first().unwrap_or(&"default"),
            native_sidecars: self.input.lines().any(|line| line == "# native"),
            namespace_labels: &labels,
            environment: &variables(self.words("path").first().unwrap_or(&"/inject")),
        };
        if !required(&pod, &namespace, &injector) {
            return "# no proxy\n".to_owned();
        }
        match inject(&pod, &namespace, None, &facts) {
            Err(error) => format!("# refused: {error}\n"),
            Ok(injected) => {
                let mut patched = pod.clone();
                json_patch::patch(&mut patched, &json_patch::diff(&pod, &injected)).unwrap();
                assert_eq!(patched, injected, "{}", self.path.display());
                let again = inject(&injected, &namespace, None, &facts).unwrap();
                if again != injected {
                    let (first, second) = (api::emit::to_yaml(&injected), api::emit::to_yaml(&again));
                    let differ = first.lines().zip(second.lines()).find(|(one, two)| one != two);
                    panic!("{}: a second injection changes {differ:#?}", self.path.display());
                }
                self.shown(&injected)
            }
        }
    }

    fn shown(&self, pod: &Value) -> String {
        let pointers = self.words("show");
        if pointers.is_empty() {
            return api::emit::to_yaml(pod);
        }
        let mut all = String::new();
        for pointer in pointers {
            let part = pod.pointer(pointer).cloned().unwrap_or(json!("(nothing)"));
            write!(all, "---\n# {pointer}\n{}", api::emit::to_yaml(&part)).unwrap();
        }
        all
    }
}

#[test]
fn pods_become() {
    let bless = std::env::var_os("BLESS").is_some();
    let cases = Case::all();
    assert!(cases.len() >= 35, "only {} cases", cases.len());
    let mut wrong = String::new();
    for case in cases {
        let made = case.run();
        if made == case.output {
            continue;
        }
        if bless {
            std::fs::write(&case.path, format!("{}{OUTPUT}{made}", case.input)).unwrap();
        } else {
            write!(wrong, "{} differs:\n{made}", case.path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "run with BLESS=1 to accept:\n{wrong}");
}
