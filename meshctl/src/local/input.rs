//! What people hand in: files, folders and standard input, as texts with their names.
//!
//! In: the arguments of `up` and `apply`. Out: texts in the order given, each with the name that findings show
//! and the absolute path from which `images.yaml` is searched. Nothing is parsed here, so that the running mesh
//! can do it with what it knows.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// One text with objects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Text {
    /// As named by the user; findings show it.
    pub name: String,
    /// Absolute; of standard input, a file that does not exist in the current folder.
    pub path: PathBuf,
    /// The documents.
    pub text: String,
}

/// Reads all of it. A folder means its `kustomization.yaml` if it has one, else its YAML files; `-` is standard input.
pub fn read(arguments: &[String]) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    for argument in arguments {
        if argument == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("read standard input")?;
            texts.push(Text { name: "-".to_owned(), path: std::env::current_dir()?.join("-"), text });
        } else if argument.starts_with("http://") || argument.starts_with("https://") {
            bail!("{argument}: objects are read from files only; download it first (curl -LO {argument})");
        } else {
            entry(Path::new(argument), &mut texts, 0)?;
        }
    }
    Ok(texts)
}

fn entry(path: &Path, texts: &mut Vec<Text>, depth: u32) -> Result<()> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    if !metadata.is_dir() {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        texts.push(Text { name: path.display().to_string(), path: path.canonicalize()?, text });
        return Ok(());
    }
    let kustomization = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    if let Some(file) = kustomization.iter().map(|name| path.join(name)).find(|file| file.is_file()) {
        if depth > 8 {
            bail!("{}: kustomizations refer to each other too deeply", file.display());
        }
        for resource in resources(&file)? {
            entry(&path.join(resource), texts, depth + 1)?;
        }
        return Ok(());
    }
    let mut files: Vec<PathBuf> = fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| {
        let yaml = file
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json");
        yaml && file.is_file() && file.file_name().is_some_and(|name| name != "images.yaml")
    });
    files.sort();
    if files.is_empty() {
        bail!("{}: no kustomization.yaml and no *.yaml in this folder", path.display());
    }
    files.iter().try_for_each(|file| entry(file, texts, depth + 1))
}

/// The one thing that is read of a kustomization; what would change objects is refused by name.
fn resources(file: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let value: serde_json::Value =
        serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    let fields = value.as_object().with_context(|| format!("{}: not a mapping", file.display()))?;
    for field in fields.keys() {
        if !["apiVersion", "kind", "metadata", "resources"].contains(&field.as_str()) {
            bail!(
                "{}: {field} is not supported here, only resources; build it first with kustomize",
                file.display()
            );
        }
    }
    let list = fields.get("resources").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    Ok(list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}
