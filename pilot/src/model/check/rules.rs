//! DestinationRules against services and endpoints: hosts that nothing has, subsets that choose nothing, TLS that
//! checks nobody.

use api::networking::{ClientTlsMode, ClientTlsSettings, DestinationRule};
use api::{Code, Findings, Object};

use crate::model::names::{covers, full};
use crate::model::note::note;
use crate::model::snapshot::Snapshot;

/// One rule.
pub(super) fn destination_rule(snapshot: &Snapshot, object: &Object<DestinationRule>, out: &mut Findings) {
    let host = full(&object.spec.host, &object.meta.namespace);
    let services: Vec<_> = snapshot.services.all.iter().filter(|s| covers(&host, &s.host)).collect();
    if services.is_empty() {
        let text = format!("there is no service {host}: the rule has no effect");
        return note(out, object, "spec.host", Code::UnknownDestinationRuleHost, text);
    }
    for (index, subset) in object.spec.subsets.iter().enumerate() {
        let endpoints = services.iter().flat_map(|s| {
            s.ports.iter().filter_map(|p| snapshot.endpoints.0.of(&s.host, &s.namespace, p.number))
        });
        let mut all = endpoints.flat_map(|set| set.iter()).peekable();
        // Without any endpoint at all, nothing can be said of a subset.
        let any = all.peek().is_some();
        if any && !all.any(|e| subset.labels.iter().all(|(k, v)| e.labels.get(k) == Some(v))) {
            let text = format!("no endpoint of {host} has the labels of subset {:?}", subset.name);
            note(
                out,
                object,
                &format!("spec.subsets[{index}]"),
                Code::DestinationRuleSubsetNotSelectPods,
                text,
            );
        }
    }
    unchecked(object, out);
}

/// TLS without anchors of one's own is checked against the system's, which is seldom what was meant.
fn unchecked(object: &Object<DestinationRule>, out: &mut Findings) {
    let Some(policy) = &object.spec.traffic_policy else { return };
    let bare = |tls: &ClientTlsSettings| {
        matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual)
            && tls.ca_certificates.is_empty()
            && tls.credential_name.is_empty()
            && !tls.insecure_skip_verify.unwrap_or(false)
    };
    let text = "no caCertificates: the server is checked against the trust anchors of the system";
    if policy.tls.as_ref().is_some_and(bare) {
        let code = Code::NoServerCertificateVerificationDestinationLevel;
        note(out, object, "spec.trafficPolicy.tls", code, text);
    }
    for (index, port) in policy.port_level_settings.iter().enumerate() {
        if port.tls.as_ref().is_some_and(bare) {
            let code = Code::NoServerCertificateVerificationPortLevel;
            let path = format!("spec.trafficPolicy.portLevelSettings[{index}].tls");
            note(out, object, &path, code, text);
        }
    }
}
