//! Where the charts are: inside the program, or in a folder that the user names.
//!
//! In: nothing, or a folder with `base`, `istiod` and `gateway`. Out: texts of their files. Called by `render`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::embedded;

/// The source of charts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Charts {
    /// Those of this version, inside the program.
    #[default]
    Own,
    /// Those below a folder.
    Folder(PathBuf),
}

impl Charts {
    /// The charts below a folder, which may be that of the charts or the one around it.
    ///
    /// # Errors
    /// There are no charts.
    pub fn folder(path: &Path) -> Result<Self> {
        for folder in [path.to_owned(), path.join("charts")] {
            if folder.join("istiod/Chart.yaml").is_file() {
                return Ok(Self::Folder(folder));
            }
        }
        bail!("--manifests {}: there is no istiod/Chart.yaml in it nor in its folder charts", path.display())
    }

    /// The text of a file of a chart.
    pub(super) fn file(&self, chart: &str, path: &str) -> Option<Cow<'static, str>> {
        match self {
            Self::Own => embedded::file(chart, path).map(Cow::Borrowed),
            Self::Folder(folder) => {
                std::fs::read_to_string(folder.join(chart).join(path)).ok().map(Cow::Owned)
            }
        }
    }

    /// Name and text of a chart's templates.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn templates(&self, chart: &str) -> Result<Vec<(String, Cow<'static, str>)>> {
        let Self::Folder(folder) = self else {
            let own = embedded::templates(chart);
            return Ok(own.map(|(name, text)| (name.to_owned(), Cow::Borrowed(text))).collect());
        };
        let folder = folder.join(chart).join("templates");
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if name.ends_with(".yaml") || name.ends_with(".tpl") {
                let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                found.push((name, Cow::Owned(text)));
            }
        }
        found.sort();
        Ok(found)
    }
}
