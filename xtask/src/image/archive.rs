//! An image archive: blobs named by their SHA-256, an OCI index and a Docker manifest that point at them.
//!
//! In: a layer and images on it. Out: the bytes of a tar. Several images of one archive share their layer. Times are
//! the epoch and everything is sorted, so the same input gives the same bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::catalog::Image;
use super::layer::Tar;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Images that are written into one file.
#[derive(Default)]
pub(crate) struct Archive {
    blobs: BTreeMap<String, Vec<u8>>,
    /// Descriptors of the OCI index.
    manifests: Vec<Value>,
    /// Entries of Docker's manifest.json.
    docker: Vec<Value>,
}

impl Archive {
    /// Keeps a blob and says its digest in hexadecimal.
    pub(crate) fn blob(&mut self, contents: Vec<u8>) -> Result<String> {
        let digest = sha256(&contents)?;
        self.blobs.insert(digest.clone(), contents);
        Ok(digest)
    }

    /// Bytes of a blob.
    pub(crate) fn size(&self, digest: &str) -> usize {
        self.blobs.get(digest).map_or(0, Vec::len)
    }

    /// Adds an image that is this layer and nothing else.
    pub(crate) fn add(&mut self, image: &Image, layer: &str) -> Result<()> {
        let config = self.json(&config(image, layer)?)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.descriptor(CONFIG, &config),
            "layers": [self.descriptor(LAYER, layer)],
        });
        let manifest = self.json(&manifest)?;
        let tag = image.name.rsplit(':').next().unwrap_or_default();
        let mut listed = self.descriptor(MANIFEST, &manifest);
        listed["annotations"] =
            json!({ "io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": tag });
        self.manifests.push(listed);
        self.docker.push(json!({
            "Config": format!("blobs/sha256/{config}"),
            "RepoTags": [image.name],
            "Layers": [format!("blobs/sha256/{layer}")],
        }));
        Ok(())
    }

    /// The whole file.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut tar = Tar::default();
        for (digest, contents) in &self.blobs {
            tar.file(&format!("blobs/sha256/{digest}"), contents.clone());
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests });
        tar.file("index.json", index.to_string().into());
        tar.file("manifest.json", Value::from(self.docker.clone()).to_string().into());
        tar.file("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string().into());
        tar.finish()
    }

    fn json(&mut self, value: &Value) -> Result<String> {
        self.blob(value.to_string().into_bytes())
    }

    fn descriptor(&self, media_type: &str, digest: &str) -> Value {
        json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": self.size(digest) })
    }
}

fn config(image: &Image, layer: &str) -> Result<Value> {
    let mut env = vec![PATH.to_owned()];
    env.extend(image.env.iter().map(|(name, value)| format!("{name}={value}")));
    Ok(json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": architecture()?,
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": env,
            "Entrypoint": image.entrypoint,
            "Cmd": image.args,
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "cargo xtask image" }],
    }))
}

/// This machine's architecture by the name that images use.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no image architecture is known for {other}"),
    }
}

/// The digest in hexadecimal, by coreutils: no crate of ours needs another implementation for this alone.
fn sha256(contents: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("sha256sum (coreutils) names the parts of an image")?;
    // It answers after the end of its input, so writing first cannot block.
    child.stdin.take().expect("stdin was piped").write_all(contents)?;
    let told = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    match text.split_whitespace().next() {
        Some(digest) if digest.len() == 64 => Ok(digest.to_owned()),
        _ => bail!("sha256sum answered {text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Archive {
        let mut archive = Archive::default();
        let layer = archive.blob(b"layer".to_vec()).unwrap();
        for name in ["docker.io/a/b:1", "docker.io/a/c:2"] {
            let image = Image {
                name: name.into(),
                entrypoint: vec!["/p".into()],
                args: vec!["9080".into()],
                env: [("NAME".to_owned(), name.to_owned())].into(),
                user: "1000:1000",
            };
            archive.add(&image, &layer).unwrap();
        }
        archive
    }

    #[test]
    fn every_digest_is_of_its_blob() {
        assert_eq!(sha256(b"").unwrap(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let archive = archive();
        // One layer, a config and a manifest for each of two images.
        assert_eq!(archive.blobs.len(), 5);
        for manifest in &archive.manifests {
            let digest = manifest["digest"].as_str().unwrap().trim_start_matches("sha256:");
            let blob: Value = serde_json::from_slice(&archive.blobs[digest]).unwrap();
            let config = blob["config"]["digest"].as_str().unwrap().trim_start_matches("sha256:");
            let config: Value = serde_json::from_slice(&archive.blobs[config]).unwrap();
            assert_eq!(config["config"]["Cmd"], json!(["9080"]));
            assert_eq!(config["rootfs"]["diff_ids"][0], blob["layers"][0]["digest"]);
        }
    }

    #[test]
    fn twice_the_same_bytes() {
        assert_eq!(archive().write(), archive().write());
    }
}
