//! Which images there are: the mesh's own, and one for every image that a manifest of `samples` names.
//!
//! In: hub and tag of the mesh's images; `samples/images.yaml`, which says what program stands for an image, and the
//! manifests, which say its tag. Out: groups of images that share a program and so a layer. Images without an entry are
//! other people's: they are named, and come from their registry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::sh;

/// What the mesh's images are called: `HUB/pilot:TAG`, `HUB/proxyv2:TAG`.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) hub: String,
    pub(crate) tag: String,
}

impl Default for Names {
    fn default() -> Self {
        Self { hub: "mesh.local".into(), tag: env!("CARGO_PKG_VERSION").into() }
    }
}

/// One image: how its program is called.
pub(crate) struct Image {
    /// Fully qualified, with the tag.
    pub(crate) name: String,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// Numbers, so that Kubernetes can see that it is not root.
    pub(crate) user: &'static str,
}

/// Images of one program.
pub(crate) struct Group {
    /// The program's name among those that were built.
    pub(crate) binary: &'static str,
    /// Its place in the images.
    pub(crate) path: &'static str,
    /// Further names of it.
    pub(crate) links: Vec<String>,
    /// Folders that anybody may write to.
    pub(crate) folders: Vec<String>,
    pub(crate) images: Vec<Image>,
}

/// What goes into the archive of this name.
pub(crate) fn group(name: &str, names: &Names) -> Result<Group> {
    match name {
        "pilot" => Ok(own(names, name, "pilot", "/usr/local/bin/pilot-discovery", &[])),
        "proxyv2" => {
            let folders = ["/etc/istio/proxy", "/var/lib/istio/data"];
            Ok(own(names, name, "proxy", "/usr/local/bin/pilot-agent", &folders))
        }
        "samples" => samples(&sh::root().join("samples")),
        other => bail!("no archive is named {other}"),
    }
}

/// An image of the mesh, with its program where Istio's charts expect it.
fn own(names: &Names, image: &str, binary: &'static str, path: &'static str, folders: &[&str]) -> Group {
    Group {
        binary,
        path,
        links: Vec::new(),
        folders: folders.iter().chain(&["/tmp"]).map(ToString::to_string).collect(),
        images: vec![Image {
            name: format!("{}/{image}:{}", names.hub, names.tag),
            entrypoint: vec![path.to_owned()],
            args: Vec::new(),
            env: BTreeMap::new(),
            user: "1337:1337",
        }],
    }
}

#[derive(Deserialize)]
struct Stands {
    images: BTreeMap<String, Program>,
}

/// An entry of images.yaml; `samples/README.md` describes the format.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Program {
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    programs: BTreeMap<String, Vec<String>>,
}

const SAMPLES: &str = "mesh-samples";
const SAMPLES_PATH: &str = "/usr/local/bin/mesh-samples";

/// What manifests and the documented tasks call in a sample's pod; the program does it under these names.
const COMMANDS: &[&str] =
    &["/bin/sh", "/bin/sleep", "/bin/date", "/bin/echo", "/bin/cat", "/usr/bin/env", "/usr/bin/seq"];

fn samples(folder: &Path) -> Result<Group> {
    let path = folder.join("images.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let stands: Stands = serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
    let mut used = BTreeMap::new();
    images_in(folder, &mut used)?;
    let mut links: BTreeSet<String> = COMMANDS.iter().map(ToString::to_string).collect();
    let mut images = Vec::new();
    for (name, manifest) in used {
        let known = name.rsplit_once(':').and_then(|(untagged, _)| stands.images.get(untagged));
        let Some(program) = known else {
            eprintln!("{name} of {manifest} is not ours: a cluster needs its registry");
            continue;
        };
        let [SAMPLES, subcommand @ ..] = &program.command.iter().map(String::as_str).collect::<Vec<_>>()[..]
        else {
            bail!("{}: {name}: only {SAMPLES} can go into an image", path.display());
        };
        links.extend(program.programs.keys().map(|name| format!("/usr/bin/{name}")));
        let entrypoint = [SAMPLES_PATH].iter().chain(subcommand).map(ToString::to_string).collect();
        let (args, env) = (program.args.clone(), program.env.clone());
        images.push(Image { name, entrypoint, args, env, user: "1000:1000" });
    }
    let links = links.into_iter().collect();
    Ok(Group { binary: SAMPLES, path: SAMPLES_PATH, links, folders: vec!["/tmp".into()], images })
}

/// The full names of all images below a folder, each with a manifest that has it.
fn images_in(folder: &Path, into: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            images_in(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            for line in std::fs::read_to_string(&path)?.lines() {
                let line = line.trim_start().trim_start_matches("- ");
                if let Some(name) = line.strip_prefix("image:") {
                    into.insert(full(name.trim().trim_matches('"')), path.display().to_string());
                }
            }
        }
    }
    Ok(())
}

/// `curlimages/curl:8` is `docker.io/curlimages/curl:8`, `nginx` is `docker.io/library/nginx:latest`.
fn full(name: &str) -> String {
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    let registry = first.contains(['.', ':']) || first == "localhost";
    let name = match (registry, first) {
        (true, _) => name.to_owned(),
        (false, "") => format!("docker.io/library/{rest}"),
        (false, _) => format!("docker.io/{name}"),
    };
    let tagged = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if tagged { name } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names() {
        for (short, long) in [
            ("curlimages/curl:8.16.0", "docker.io/curlimages/curl:8.16.0"),
            ("docker.io/istio/tcp-echo-server:1.3", "docker.io/istio/tcp-echo-server:1.3"),
            ("nginx", "docker.io/library/nginx:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ] {
            assert_eq!(full(short), long);
        }
    }

    #[test]
    fn every_sample_has_its_image() {
        let samples = group("samples", &Names::default()).unwrap();
        let image = |name: &str| samples.images.iter().find(|image| image.name == name).unwrap();
        assert!(samples.links.contains(&"/usr/bin/curl".to_owned()), "{:?}", samples.links);
        assert_eq!(image("docker.io/curlimages/curl:8.16.0").user, "1000:1000");
        let reviews = image("docker.io/istio/examples-bookinfo-reviews-v3:1.20.3");
        assert_eq!(reviews.entrypoint, ["/usr/local/bin/mesh-samples", "reviews"]);
        assert_eq!(reviews.env["STAR_COLOR"], "red");
    }

    #[test]
    fn images_of_the_mesh() {
        let names = Names { hub: "r.example/m".into(), tag: "2".into() };
        let proxy = group("proxyv2", &names).unwrap();
        assert_eq!(proxy.images[0].name, "r.example/m/proxyv2:2");
        assert_eq!(proxy.images[0].entrypoint, ["/usr/local/bin/pilot-agent"]);
        assert_eq!(group("pilot", &names).unwrap().path, "/usr/local/bin/pilot-discovery");
    }
}
