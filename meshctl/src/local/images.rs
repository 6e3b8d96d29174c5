//! What runs for a container image: `images.yaml` beside the manifests, or a program of ours.
//!
//! In: an image reference, the container's own command, and where its manifest lies. Out: the program with its
//! arguments, environment and working folder, or an error that says which line to add. The format is described
//! in samples/README.md, "Images".

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// How far above the manifest's folder the file is searched.
const PARENTS: usize = 4;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    images: BTreeMap<String, Entry>,
}

/// What one image stands for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Entry {
    /// The program, and what always follows it.
    pub command: Vec<String>,
    /// Used where the container says no args of its own.
    pub args: Vec<String>,
    /// Under the container's own.
    pub env: BTreeMap<String, String>,
    /// Where the container says none.
    pub working_dir: Option<String>,
    /// Programs for `exec` that this machine may lack.
    pub programs: BTreeMap<String, Vec<String>>,
}

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Absolute program and all arguments.
    pub argv: Vec<String>,
    /// The image's environment.
    pub env: BTreeMap<String, String>,
    /// Working folder.
    pub working_dir: Option<String>,
    /// Programs for `exec`.
    pub programs: BTreeMap<String, Vec<String>>,
}

/// The images of the mesh's own pods.
const OWN: [(&str, &str); 2] = [("mesh.local/pilot", "pilot"), ("mesh.local/proxy", "proxy")];

/// Finds what to run for a container.
pub fn program(image: &str, command: &[String], args: &[String], manifest: Option<&Path>) -> Result<Program> {
    if let Some((_, name)) = OWN.iter().find(|(own, _)| image == *own) {
        let mut argv = vec![sibling(name)?.display().to_string()];
        argv.extend_from_slice(args);
        return Ok(Program { argv, ..Program::default() });
    }
    let entry = match manifest {
        Some(manifest) => find(image, manifest)?,
        None => None,
    };
    if let Some(path) = command.first().and_then(|first| look_up(first, Path::new("/"))) {
        let mut argv = vec![path.display().to_string()];
        argv.extend(command.iter().skip(1).chain(args).cloned());
        let programs =
            entry.map(|(entry, file)| absolute_programs(&entry, &file)).transpose()?.unwrap_or_default();
        return Ok(Program { argv, programs, ..Program::default() });
    }
    let Some((entry, file)) = entry else {
        let reason = match command.first() {
            Some(first) => format!("its command {first} does not exist on this machine, and no"),
            None => "no".to_owned(),
        };
        let where_to = manifest
            .and_then(Path::parent)
            .map_or_else(String::new, |dir| dir.join("images.yaml").display().to_string());
        bail!(
            "nothing to run for image {image}: {reason} images.yaml beside the manifest or up to {PARENTS} folders above has it. \
             Add to {where_to}:\nimages:\n  {}:\n    command: [PROGRAM, ARGUMENT]",
            full_name(image).0
        );
    };
    let base = file.parent().unwrap_or(Path::new("/"));
    let first = entry
        .command
        .first()
        .with_context(|| format!("{}: the entry of {image} has no command", file.display()))?;
    let path = look_up(first, base).with_context(|| {
        format!(
            "{}: the program {first} of image {image} is neither beside meshctl nor in PATH",
            file.display()
        )
    })?;
    let mut argv = vec![path.display().to_string()];
    argv.extend(entry.command.iter().skip(1).cloned());
    // Args that belong to a command that does not exist here are not for its substitute.
    let args = if args.is_empty() || !command.is_empty() { &entry.args } else { args };
    argv.extend_from_slice(args);
    let programs = absolute_programs(&entry, &file)?;
    Ok(Program { argv, env: entry.env, working_dir: entry.working_dir, programs })
}

fn absolute_programs(entry: &Entry, file: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let base = file.parent().unwrap_or(Path::new("/"));
    let mut programs = BTreeMap::new();
    for (name, command) in &entry.programs {
        let first =
            command.first().with_context(|| format!("{}: programs.{name} is empty", file.display()))?;
        if let Some(path) = look_up(first, base) {
            let argv = std::iter::once(path.display().to_string()).chain(command.iter().skip(1).cloned());
            programs.insert(name.clone(), argv.collect());
        }
    }
    Ok(programs)
}

/// A program that comes with meshctl: beside it, or in PATH.
pub fn sibling(name: &str) -> Result<PathBuf> {
    look_up(name, Path::new("/")).with_context(|| {
        format!("the program {name} is neither in the folder of meshctl nor in PATH; build it (cargo build -p {name}) or install it")
    })
}

/// Where a program is, if it is on this machine at all.
pub fn look_up(program: &str, base: &Path) -> Option<PathBuf> {
    let runs =
        |path: &PathBuf| path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok();
    if program.contains('/') {
        let path = if program.starts_with('/') { PathBuf::from(program) } else { base.join(program) };
        return Some(path).filter(runs).and_then(|path| path.canonicalize().ok());
    }
    let own = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    own.into_iter().chain(std::env::split_paths(&path)).map(|dir| dir.join(program)).find(runs)
}

/// The nearest file that has the image, above the manifest.
fn find(image: &str, manifest: &Path) -> Result<Option<(Entry, PathBuf)>> {
    for dir in manifest.ancestors().skip(1).take(PARENTS + 1) {
        let file = dir.join("images.yaml");
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let content: File =
            serde_saphyr::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
        if let Some(entry) = choose(&content.images, image) {
            return Ok(Some((entry.clone(), file)));
        }
    }
    Ok(None)
}

fn choose<'a>(images: &'a BTreeMap<String, Entry>, image: &str) -> Option<&'a Entry> {
    let (wanted, tag) = full_name(image);
    let tagged =
        images.iter().find(|(key, _)| full_name(key) == (wanted.clone(), tag.clone()) && tag.is_some());
    let any = || images.iter().find(|(key, _)| full_name(key) == (wanted.clone(), None));
    tagged.or_else(any).map(|(_, entry)| entry)
}

/// `nginx:1` is `docker.io/library/nginx` with the tag `1`; a digest is not looked at.
fn full_name(image: &str) -> (String, Option<String>) {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    let (name, tag) = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
        _ => (image, None),
    };
    let first = name.split_once('/').map(|(first, _)| first);
    let full = match first {
        None => format!("docker.io/library/{name}"),
        Some(host) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    };
    (full, tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_in_full() {
        assert_eq!(full_name("nginx:1.2"), ("docker.io/library/nginx".into(), Some("1.2".into())));
        assert_eq!(full_name("curlimages/curl").0, "docker.io/curlimages/curl");
        assert_eq!(full_name("localhost:5000/a/b:x@sha256:00").0, "localhost:5000/a/b");
        assert_eq!(full_name("docker.io/istio/a"), ("docker.io/istio/a".into(), None));
    }

    #[test]
    fn a_tagged_entry_goes_first() {
        let entry = |name: &str| Entry { command: vec![name.into()], ..Entry::default() };
        let images = BTreeMap::from([("a/b".to_owned(), entry("any")), ("a/b:1".to_owned(), entry("one"))]);
        assert_eq!(choose(&images, "docker.io/a/b:1").unwrap().command, ["one"]);
        assert_eq!(choose(&images, "a/b:2").unwrap().command, ["any"]);
        assert!(choose(&images, "b:2").is_none());
    }

    #[test]
    fn a_command_that_exists_wins_and_a_missing_one_is_replaced() {
        let dir = std::env::temp_dir().join(format!("images-{}", std::process::id()));
        fs::create_dir_all(dir.join("deep/er")).unwrap();
        fs::write(dir.join("images.yaml"), "images:\n  x:\n    command: [sh, -c]\n    args: [exit]\n")
            .unwrap();
        let manifest = dir.join("deep/er/m.yaml");
        let run = |command: &[&str], args: &[&str]| {
            let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
            program("x:1", &own(command), &own(args), Some(&manifest)).unwrap().argv
        };
        assert_eq!(run(&["sh", "-x"], &["y"])[1..], ["-x", "y"]);
        assert_eq!(run(&["/no/such"], &["lost"])[1..], ["-c", "exit"]);
        assert_eq!(run(&[], &["own"])[1..], ["-c", "own"]);
        let error = program("unknown", &[], &[], Some(&manifest)).unwrap_err().to_string();
        assert!(error.contains("docker.io/library/unknown:\n    command:"), "{error}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
