//! The charts, inside the program. The list is that of the folder `charts`; a test compares.

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        /// Path below `charts`, and text.
        const FILES: &[(&str, &str)] =
            &[$( ($path, include_str!(concat!("../../../charts/", $path))) ),*];
    };
}

files![
    "base/Chart.yaml",
    "base/files/crd-all.gen.yaml",
    "base/files/profile-default.yaml",
    "base/files/profile-demo.yaml",
    "base/files/profile-empty.yaml",
    "base/files/profile-minimal.yaml",
    "base/files/profile-preview.yaml",
    "base/files/profile-remote.yaml",
    "base/files/unhonoured.yaml",
    "base/templates/_names.tpl",
    "base/templates/_values.tpl",
    "base/templates/check.yaml",
    "base/templates/crds.yaml",
    "base/templates/default-validator.yaml",
    "base/templates/reader-serviceaccount.yaml",
    "base/values.yaml",
    "gateway/Chart.yaml",
    "gateway/files/profile-default.yaml",
    "gateway/files/profile-demo.yaml",
    "gateway/files/profile-empty.yaml",
    "gateway/files/profile-minimal.yaml",
    "gateway/files/profile-preview.yaml",
    "gateway/files/profile-remote.yaml",
    "gateway/files/unhonoured.yaml",
    "gateway/templates/_names.tpl",
    "gateway/templates/_values.tpl",
    "gateway/templates/check.yaml",
    "gateway/templates/deployment.yaml",
    "gateway/templates/hpa.yaml",
    "gateway/templates/networkpolicy.yaml",
    "gateway/templates/poddisruptionbudget.yaml",
    "gateway/templates/role.yaml",
    "gateway/templates/service.yaml",
    "gateway/templates/serviceaccount.yaml",
    "gateway/values.yaml",
    "istiod/Chart.yaml",
    "istiod/files/injection-gateway.yaml",
    "istiod/files/injection-grpc-simple.yaml",
    "istiod/files/injection-parts.yaml",
    "istiod/files/injection-sidecar.yaml",
    "istiod/files/profile-default.yaml",
    "istiod/files/profile-demo.yaml",
    "istiod/files/profile-empty.yaml",
    "istiod/files/profile-minimal.yaml",
    "istiod/files/profile-preview.yaml",
    "istiod/files/profile-remote.yaml",
    "istiod/files/unhonoured.yaml",
    "istiod/templates/_mesh.tpl",
    "istiod/templates/_names.tpl",
    "istiod/templates/_pod.tpl",
    "istiod/templates/_values.tpl",
    "istiod/templates/_webhook.tpl",
    "istiod/templates/autoscale.yaml",
    "istiod/templates/check.yaml",
    "istiod/templates/clusterrole.yaml",
    "istiod/templates/configmap-jwks.yaml",
    "istiod/templates/configmap.yaml",
    "istiod/templates/deployment.yaml",
    "istiod/templates/istiod-injector-configmap.yaml",
    "istiod/templates/mutatingwebhook.yaml",
    "istiod/templates/networkpolicy.yaml",
    "istiod/templates/poddisruptionbudget.yaml",
    "istiod/templates/reader-clusterrole.yaml",
    "istiod/templates/remote-istiod.yaml",
    "istiod/templates/role.yaml",
    "istiod/templates/service.yaml",
    "istiod/templates/serviceaccount.yaml",
    "istiod/templates/validatingwebhookconfiguration.yaml",
    "istiod/values.yaml",
];

/// The text of a file of a chart.
pub(super) fn file(chart: &str, path: &str) -> Option<&'static str> {
    let found = FILES.iter().find(|(name, _)| name.strip_prefix(chart) == Some(&format!("/{path}")));
    found.map(|(_, text)| *text)
}

/// Name and text of a chart's templates.
pub(super) fn templates(chart: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let folder = format!("{chart}/templates/");
    FILES.iter().filter_map(move |(name, text)| name.strip_prefix(folder.as_str()).map(|name| (name, *text)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_listed() {
        let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts");
        for chart in ["base", "gateway", "istiod"] {
            for folder in ["", "templates", "files"] {
                for entry in std::fs::read_dir(charts.join(chart).join(folder)).unwrap() {
                    let path = entry.unwrap().path();
                    let name = path.file_name().unwrap().to_str().unwrap();
                    let name = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                    assert!(
                        path.is_dir() || name.ends_with("NOTES.txt") || file(chart, &name).is_some(),
                        "{chart}/{name}"
                    );
                }
            }
        }
    }
}
