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

/// What describes a folder instead of objects.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Reads all of it. A folder means its `kustomization.yaml` if it has one, else its YAML files; `-` is standard input.
///
/// # Errors
/// A file that cannot be read, an empty folder, an address; the error names it.
pub fn read(arguments: &[String]) -> Result<Vec<Text>> {
    read_as(arguments, Folders::Listed)
}

/// The same, but a folder means every YAML file in it and in all folders below it.
///
/// # Errors
/// As above.
pub fn read_recursive(arguments: &[String]) -> Result<Vec<Text>> {
    read_as(arguments, Folders::Whole)
}

/// What a folder stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folders {
    /// Its kustomization, else its own files.
    Listed,
    /// All files below it.
    Whole,
}

fn read_as(arguments: &[String], folders: Folders) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    for argument in arguments {
        if argument == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("read standard input")?;
            texts.push(Text { name: "-".to_owned(), path: std::env::current_dir()?.join("-"), text });
        } else if argument.starts_with("http://") || argument.starts_with("https://") {
            bail!("{argument}: objects are read from files only; download it first (curl -LO {argument})");
        } else {
            let path = Path::new(argument);
            let named = path.file_name().is_some_and(|name| KUSTOMIZATIONS.iter().any(|one| name == *one));
            match path.parent().filter(|_| named && path.is_file()) {
                Some(folder) if folder.as_os_str().is_empty() => {
                    entry(Path::new("."), &mut texts, folders, 0)?
                }
                Some(folder) => entry(folder, &mut texts, folders, 0)?,
                None => entry(path, &mut texts, folders, 0)?,
            }
        }
    }
    Ok(texts)
}

fn entry(path: &Path, texts: &mut Vec<Text>, folders: Folders, depth: u32) -> Result<()> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    if !metadata.is_dir() {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        // A pipe (`-f <(...)`) has no name of its own.
        let absolute = path.canonicalize().or_else(|_| std::path::absolute(path))?;
        texts.push(Text { name: path.display().to_string(), path: absolute, text });
        return Ok(());
    }
    if depth > 16 {
        bail!("{}: kustomizations or folders go too deep", path.display());
    }
    let listed = KUSTOMIZATIONS.iter().map(|name| path.join(name)).find(|file| file.is_file());
    if let (Folders::Listed, Some(file)) = (folders, listed) {
        for resource in resources(&file)? {
            entry(&path.join(resource), texts, folders, depth + 1)?;
        }
        return Ok(());
    }
    let mut files: Vec<PathBuf> = fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| match file.is_dir() {
        true => folders == Folders::Whole,
        false => is_manifest(file),
    });
    files.sort();
    let before = texts.len();
    files.iter().try_for_each(|file| entry(file, texts, folders, depth + 1))?;
    if depth == 0 && texts.len() == before {
        bail!("{}: no kustomization.yaml and no *.yaml in this folder", path.display());
    }
    Ok(())
}

/// Whether a file of a folder is read: by its ending, and not if it describes something else than objects.
fn is_manifest(file: &Path) -> bool {
    let yaml = file
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json");
    let name = file.file_name().unwrap_or_default();
    yaml && file.is_file() && name != "images.yaml" && !KUSTOMIZATIONS.iter().any(|one| name == *one)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_files_and_kustomizations() {
        let dir = std::env::temp_dir().join(format!("meshctl-input-{}", std::process::id()));
        fs::create_dir_all(dir.join("below/deeper")).unwrap();
        for (name, text) in [
            ("a.yaml", "a: 1"),
            ("images.yaml", "images: {}"),
            ("below/kustomization.yaml", "resources: [c.yaml]"),
            ("below/b.yaml", "b: 1"),
            ("below/c.yaml", "c: 1"),
            ("below/deeper/d.json", "{}"),
        ] {
            fs::write(dir.join(name), text).unwrap();
        }
        let at = |name: &str| dir.join(name).display().to_string();
        let names = |texts: Vec<Text>| -> Vec<String> {
            let bare = |text: Text| text.name.rsplit('/').next().unwrap_or_default().to_owned();
            texts.into_iter().map(bare).collect()
        };
        assert_eq!(names(read(&[at("")]).unwrap()), ["a.yaml"]);
        assert_eq!(names(read_recursive(&[at("")]).unwrap()), ["a.yaml", "b.yaml", "c.yaml", "d.json"]);
        assert_eq!(names(read(&[at("below")]).unwrap()), ["c.yaml"]);
        assert_eq!(names(read(&[at("below/kustomization.yaml")]).unwrap()), ["c.yaml"]);
        fs::remove_file(dir.join("a.yaml")).unwrap();
        assert!(read(&[at("")]).unwrap_err().to_string().contains("no *.yaml"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
