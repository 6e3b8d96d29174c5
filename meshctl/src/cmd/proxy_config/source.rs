//! Where the pages come from: a pod of the running mesh, or a file.

use std::io::Read;

use anyhow::{Context, Result};

use super::args::Source;
use crate::client::{Mesh, Method, Pod};
use crate::cmd::printed::BadInput;
use crate::globals::Globals;
use crate::proxy_config::Dump;

/// Everything that tables are made of; endpoints too.
const DUMP: &str = "/config_dump?include_eds";
const CLUSTERS: &str = "/clusters?format=json";

/// Where the pages come from.
pub(super) enum From {
    File(String),
    Pod(Box<Mesh>, Pod),
}

impl From {
    /// The file that is named, or the pod that is meant.
    pub(super) fn open(source: &Source, globals: &Globals) -> Result<Self> {
        match (&source.file, &source.pod) {
            (Some(file), _) => Ok(From::File(file.clone())),
            (None, Some(pod)) => {
                let mesh = Mesh::find(globals)?.admin_port(source.proxy_admin_port);
                let pod = mesh.proxy(pod)?;
                Ok(From::Pod(Box::new(mesh), pod))
            }
            (None, None) => anyhow::bail!("name a pod, or a file with --file"),
        }
    }

    /// The proxy's config dump as text.
    pub(super) fn dump_text(&self) -> Result<String> {
        self.page(DUMP)
    }

    /// The proxy's config dump.
    pub(super) fn dump(&self) -> Result<Dump> {
        let text = self.dump_text()?;
        Dump::read(&text).map_err(|error| self.blame(error))
    }

    /// A file that is not what was asked for is bad input, by its name.
    pub(super) fn blame(&self, error: anyhow::Error) -> anyhow::Error {
        match self {
            From::File(file) => BadInput(format!("{file}: {error:#}")).into(),
            From::Pod(..) => error,
        }
    }

    /// The proxy's list of clusters with their endpoints.
    pub(super) fn clusters(&self) -> Result<String> {
        self.page(CLUSTERS)
    }

    /// A page; a file holds one page only.
    fn page(&self, path: &str) -> Result<String> {
        match self {
            From::File(file) => read(file),
            From::Pod(mesh, pod) => mesh.admin(pod, Method::Get, path),
        }
    }
}

/// The text of a file, or of standard input.
pub(crate) fn read(file: &str) -> Result<String> {
    if file == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| BadInput(format!("{file}: {error}")).into())
}
