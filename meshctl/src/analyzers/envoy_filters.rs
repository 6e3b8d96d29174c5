//! EnvoyFilter patches that depend on what is there before them, or that Envoy's configuration has no place for.
//!
//! In: EnvoyFilters. Out: findings IST0151 to 0155. Whether a patch is honoured at all is told elsewhere.

use api::networking::{ApplyTo, EnvoyFilter, PatchOperation};
use api::{Code, Findings};

use super::scene::{Scene, note_of};

/// All of them.
pub(super) fn patches(scene: &Scene, out: &mut Findings) {
    for filter in scene.all::<EnvoyFilter>() {
        for (index, one) in filter.spec.config_patches.iter().enumerate() {
            let Some(patch) = &one.patch else { continue };
            let operation = patch.operation;
            let to = one.apply_to;
            let filters =
                matches!(to, ApplyTo::HttpFilter | ApplyTo::NetworkFilter | ApplyTo::ListenerFilter);
            let relative = match operation {
                PatchOperation::InsertBefore | PatchOperation::InsertAfter | PatchOperation::Merge => true,
                PatchOperation::Replace => filters,
                _ => false,
            };
            let path = format!("spec.configPatches[{index}].patch.operation");
            let by_version = one
                .matches
                .as_ref()
                .and_then(|matches| matches.proxy.as_ref())
                .is_some_and(|p| !p.proxy_version.is_empty());
            if relative && filter.spec.priority == 0 {
                let text = "it depends on what another EnvoyFilter may put there first, and without a priority their order is \
                            by age; set spec.priority";
                let code = match by_version {
                    true => Code::EnvoyFilterUsesRelativeOperationWithProxyVersion,
                    false => Code::EnvoyFilterUsesRelativeOperation,
                };
                note_of(out, filter, &path, code, text);
            }
            let no_place = matches!(to, ApplyTo::RouteConfiguration | ApplyTo::HttpRoute);
            match operation {
                PatchOperation::Replace if !filters => {
                    let text = "REPLACE works on filters only (HTTP_FILTER, NETWORK_FILTER); use MERGE";
                    note_of(out, filter, &path, Code::EnvoyFilterUsesReplaceOperationIncorrectly, text);
                }
                PatchOperation::Add if no_place => {
                    let text =
                        "ADD has no effect on a ROUTE_CONFIGURATION or HTTP_ROUTE; use MERGE or INSERT_FIRST";
                    note_of(out, filter, &path, Code::EnvoyFilterUsesAddOperationIncorrectly, text);
                }
                PatchOperation::Remove if no_place => {
                    let text = "REMOVE has no effect on a ROUTE_CONFIGURATION or HTTP_ROUTE";
                    note_of(out, filter, &path, Code::EnvoyFilterUsesRemoveOperationIncorrectly, text);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::found;
    use super::*;

    fn codes(to: &str, operation: &str, rest: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: e, namespace: n}}\n\
             spec: {{{rest} configPatches: [{{applyTo: {to}, patch: {{operation: {operation}}}}}]}}\n"
        );
        found(&text, patches).iter().map(|one| one.split(' ').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn operations() {
        assert_eq!(codes("HTTP_FILTER", "INSERT_BEFORE", ""), ["IST0151"]);
        assert!(codes("HTTP_FILTER", "INSERT_BEFORE", "priority: 10,").is_empty());
        assert_eq!(codes("CLUSTER", "REPLACE", "priority: 1,"), ["IST0152"]);
        assert_eq!(codes("HTTP_ROUTE", "ADD", ""), ["IST0153"]);
        assert_eq!(codes("ROUTE_CONFIGURATION", "REMOVE", ""), ["IST0154"]);
        assert!(codes("CLUSTER", "ADD", "").is_empty());
    }

    #[test]
    fn with_a_version() {
        let text = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: e, namespace: n}\n\
                    spec: {configPatches: [{applyTo: HTTP_FILTER, match: {proxy: {proxyVersion: '^1'}}, patch: {operation: MERGE}}]}\n";
        assert_eq!(found(text, patches), ["IST0155 spec.configPatches[0].patch.operation"]);
    }
}
