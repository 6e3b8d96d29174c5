//! The YAML of `samples/`: it parses, every image has a program, every listed file exists.

use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            out.push(path);
        }
    }
}

fn objects() -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    found.retain(|path| !path.ends_with("images.yaml"));
    let mut out = Vec::new();
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
        out.extend(documents.into_iter().map(|document| (path.clone(), document)));
    }
    out
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Images {
    images: BTreeMap<String, Image>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "the fields are here to be checked")]
struct Image {
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    working_dir: Option<String>,
    #[serde(default)]
    programs: BTreeMap<String, Vec<String>>,
}

/// Full name without tag, as images.yaml has it.
fn full(image: &str) -> String {
    let (path, _) = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((image, ""));
    match path.split_once('/') {
        Some((registry, _)) if registry.contains('.') => path.to_owned(),
        Some(_) => format!("docker.io/{path}"),
        None => format!("docker.io/library/{path}"),
    }
}

#[test]
fn every_object_is_whole() {
    let all = objects();
    assert!(all.len() > 100, "{}", all.len());
    for (path, object) in &all {
        let at = path.display();
        assert!(object["apiVersion"].is_string() && object["kind"].is_string(), "{at}");
        assert!(object["kind"] == "Kustomization" || object["metadata"]["name"].is_string(), "{at}");
        if object["kind"] == "Deployment" {
            let given = &object["spec"]["template"]["metadata"]["labels"];
            for (label, value) in object["spec"]["selector"]["matchLabels"].as_object().unwrap() {
                assert_eq!(&given[label], value, "{at}: {label}");
            }
        }
    }
}

/// Kinds in samples that are for an API server or for `meshctl install` alone; what reads the mesh's configuration passes them by.
const NOT_CONFIGURATION: [&str; 3] = ["ClusterRole", "ClusterRoleBinding", "IstioOperator"];

#[test]
fn every_object_is_valid() {
    let mut found = Vec::new();
    files(&root(), &mut found);
    found.retain(|path| !path.ends_with("images.yaml") && !path.ends_with("kustomization.yaml"));
    let mut objects = 0;
    let mut findings = Vec::new();
    for path in found {
        let parsed = api::parse(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
        objects += parsed.objects.len();
        findings.extend(parsed.findings.into_vec());
        findings.extend(parsed.objects.iter().flat_map(|object| object.findings().into_vec()));
    }
    findings.retain(|finding| {
        let known = |kind: &str| finding.message.starts_with(&format!("nothing here reads {kind} of "));
        !(finding.code == api::Code::UnknownKind && NOT_CONFIGURATION.iter().any(|kind| known(kind)))
    });
    assert!(objects > 100, "{objects}");
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Published images that a cluster pulls: `mesh-samples` does not stand in for them, so a laptop mesh cannot run them.
const PULLED: [&str; 10] = [
    "docker.io/fortio/fortio",
    "docker.io/grafana/grafana",
    "docker.io/grafana/loki",
    "docker.io/hiroakis/tornado-websocket-example",
    "docker.io/istio/examples-bookinfo-mysqldb",
    "docker.io/istio/health",
    "docker.io/jaegertracing/jaeger",
    "docker.io/prom/prometheus",
    "quay.io/kiali/kiali",
    "registry.k8s.io/e2e-test-images/busybox",
];

#[test]
fn every_image_has_a_program() {
    let text = std::fs::read_to_string(root().join("images.yaml")).unwrap();
    let images: Images = serde_saphyr::from_str(&text).unwrap();
    for (path, object) in objects() {
        for container in object["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten() {
            let image = full(container["image"].as_str().unwrap());
            let known = images.images.contains_key(&image) || PULLED.contains(&image.as_str());
            assert!(known, "{}: {image}", path.display());
        }
    }
    for (name, image) in &images.images {
        assert_eq!(image.command[0], "mesh-samples", "{name}");
    }
}

#[test]
fn kustomizations_list_files_that_exist() {
    let mut lists = 0;
    for (path, object) in objects().into_iter().filter(|(_, object)| object["kind"] == "Kustomization") {
        lists += 1;
        for file in object["resources"].as_array().unwrap() {
            let file = path.parent().unwrap().join(file.as_str().unwrap());
            assert!(file.is_file(), "{}", file.display());
        }
    }
    assert_eq!(lists, 1);
}

#[test]
fn routes_name_subsets_that_exist() {
    let all = objects();
    let subsets: BTreeSet<(String, String)> = all
        .iter()
        .filter(|(_, object)| object["kind"] == "DestinationRule")
        .flat_map(|(_, rule)| {
            let host = rule["spec"]["host"].as_str().unwrap().to_owned();
            let names = rule["spec"]["subsets"].as_array().into_iter().flatten();
            names
                .map(move |subset| (host.clone(), subset["name"].as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut named = 0;
    for (path, object) in all.iter().filter(|(_, object)| object["kind"] == "VirtualService") {
        for kind in ["http", "tcp", "tls"] {
            for route in object["spec"][kind].as_array().into_iter().flatten() {
                for target in route["route"].as_array().into_iter().flatten() {
                    let destination = &target["destination"];
                    let host = destination["host"].as_str().unwrap().to_owned();
                    if let Some(subset) = destination["subset"].as_str() {
                        let known = subsets.contains(&(host.clone(), subset.to_owned()));
                        assert!(known, "{}: {host} {subset}", path.display());
                        named += 1;
                    }
                }
            }
        }
    }
    assert!(named > 10, "only {named} routes name a subset");
}
