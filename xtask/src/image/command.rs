//! The command line of `cargo xtask image`, and the files it leaves.
//!
//! In: `[--profile P] [--hub HUB] [--tag TAG] [NAME...]`. Out: one archive per program below `target/images` (all, or the
//! named ones), a table of sizes.
//! An archive is both an OCI layout and what `docker save` writes, so `ctr images import`, `kind load image-archive`,
//! `docker load` and `skopeo copy oci-archive:` all take it.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::archive::Archive;
use super::catalog::{self, Names};
use super::{build, layer};
use crate::sh;

/// Where the archives go.
fn folder() -> PathBuf {
    sh::target_dir().join("images")
}

const ARCHIVES: &[&str] = &["pilot", "proxyv2", "samples"];

fn file(name: &str) -> PathBuf {
    folder().join(format!("{name}.tar"))
}

/// The archives that `cargo xtask image` writes.
pub(crate) fn archives() -> Vec<PathBuf> {
    ARCHIVES.iter().map(|name| file(name)).collect()
}

/// What the command line says.
#[derive(Debug)]
struct Wanted {
    profile: String,
    names: Names,
    archives: Vec<&'static str>,
}

/// Builds the programs and writes every archive.
pub(crate) fn image(args: &[String]) -> Result<()> {
    let wanted = parse(args)?;
    let programs = build::programs(&wanted.profile)?;
    std::fs::create_dir_all(folder())?;
    println!("{:<58} {:>9}", "image", "MB");
    for name in wanted.archives {
        let path = file(name);
        let group = catalog::group(name, &wanted.names)?;
        let contents = layer::pack(&layer::standard(&programs, &group)?);
        let mut archive = Archive::default();
        let layer = archive.blob(contents)?;
        for image in &group.images {
            archive.add(image, &layer)?;
            println!("{:<58} {:>9.1}", image.name, megabytes(archive.size(&layer)));
        }
        let bytes = archive.write();
        println!("  -> {} ({:.1} MB)", path.display(), megabytes(bytes.len()));
        // Readers see the old file or the new one, never half of it.
        let fresh = path.with_extension("tar.new");
        std::fs::write(&fresh, bytes)?;
        std::fs::rename(fresh, path)?;
    }
    Ok(())
}

fn parse(args: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted { profile: "dist".into(), names: Names::default(), archives: Vec::new() };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let into = match arg.as_str() {
            "--profile" => &mut wanted.profile,
            "--hub" => &mut wanted.names.hub,
            "--tag" => &mut wanted.names.tag,
            name => {
                let Some(archive) = ARCHIVES.iter().find(|known| **known == name) else {
                    bail!(
                        "cargo xtask image takes --profile, --hub, --tag, pilot, proxyv2 and samples, not {name}"
                    );
                };
                wanted.archives.push(archive);
                continue;
            }
        };
        match rest.next() {
            Some(value) => into.clone_from(value),
            None => bail!("{arg} needs a value"),
        }
    }
    if wanted.archives.is_empty() {
        wanted.archives.extend(ARCHIVES);
    }
    Ok(wanted)
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags() {
        let words = ["--tag", "2", "--hub", "r.example/m", "samples"].map(str::to_owned);
        let wanted = parse(&words).unwrap();
        assert_eq!((wanted.profile.as_str(), wanted.names.hub.as_str()), ("dist", "r.example/m"));
        assert_eq!((wanted.names.tag.as_str(), wanted.archives.len()), ("2", 1));
        assert_eq!(parse(&[]).unwrap().archives.len(), 3);
        assert!(parse(&["--tag".to_owned()]).unwrap_err().to_string().contains("needs a value"));
        assert!(parse(&["envoy".to_owned()]).unwrap_err().to_string().contains("not envoy"));
    }
}
