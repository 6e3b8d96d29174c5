//! A real Helm, which judges our charts: built once from its Go module into the test equipment.
//!
//! It takes Go and about four minutes of one core, once. Where there is no Go, or its modules cannot be had, the tests that need
//! Helm count as skipped.

use anyhow::Result;

use crate::gotool::GoTool;
use crate::sh;
use crate::stages::{Counts, counted};
use crate::test::cargo_test;

const HELM: GoTool =
    GoTool { name: "helm", module: "helm.sh/helm/v3/cmd/helm@v3.22.0", variable: "MESH_HELM" };

/// Tests that need Helm.
const TESTS: usize = 1;

/// Tests of the charts with Helm, where it is there or can be built.
pub(crate) fn test() -> Result<Counts> {
    match HELM.find(true)? {
        Ok(helm) => {
            let mut cargo = cargo_test(&["charts".to_owned()]);
            cargo.args(["--", "--ignored"]);
            counted(cargo.env(HELM.variable, helm))
        }
        Err(why) => {
            eprintln!("{why}: {TESTS} test skipped");
            Ok(Counts { ignored: TESTS, ..Counts::default() })
        }
    }
}

/// Rewrites the charts' golden files, if there is a Helm.
pub(crate) fn bless() -> Result<()> {
    match HELM.find(false)? {
        Ok(helm) => {
            let mut cargo = cargo_test(&["charts".to_owned()]);
            cargo.args(["--", "--include-ignored"]);
            sh::run(cargo.env(HELM.variable, helm).env("BLESS", "1"))
        }
        Err(why) => {
            eprintln!("{why}: the golden files of the charts stay as they are");
            Ok(())
        }
    }
}
