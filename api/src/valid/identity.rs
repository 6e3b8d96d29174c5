//! Rules of PeerAuthentication and RequestAuthentication.

use super::{At, Check, http_headers, rules};
use crate::finding::Code;
use crate::meta::Meta;
use crate::security::{JwtRule, PeerAuthentication, RequestAuthentication};

impl Check for PeerAuthentication {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::selector(self.selector.as_ref(), &at.key("selector"));
        let at = at.key("portLevelMtls");
        let selected = self.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty());
        at.must(self.port_level_mtls.is_empty() || selected, Code::Required, || {
            "port settings need a selector; set selector.matchLabels".to_owned()
        });
        for port in self.port_level_mtls.keys() {
            let fits = port.parse::<u16>().is_ok_and(|port| port != 0);
            at.key(port).must(fits, Code::BadPort, || format!("{port:?} is no port; use 1 to 65535"));
        }
    }
}

impl Check for RequestAuthentication {
    fn rules(&self, at: &At<'_>, _: &Meta) {
        rules::attachment(self.selector.as_ref(), self.target_ref.as_ref(), &self.target_refs, at);
        at.key("jwtRules").each(&self.jwt_rules, jwt_rule);
    }
}

fn jwt_rule(at: &At<'_>, rule: &JwtRule) {
    rules::required(&rule.issuer, &at.key("issuer"), "who issued the token");
    rules::exclusive(&[("jwks", !rule.jwks.is_empty()), ("jwksUri", !rule.jwks_uri.is_empty())], at);
    let uri = rule.jwks_uri.as_str();
    at.key("jwksUri").must(
        uri.is_empty() || uri.starts_with("http://") || uri.starts_with("https://"),
        Code::BadValue,
        || format!("{uri:?} does not start with http:// or https://"),
    );
    if !rule.jwks.is_empty() {
        let keys = serde_json::from_str::<serde_json::Value>(&rule.jwks).ok();
        let fits = keys.is_some_and(|value| value.get("keys").is_some_and(serde_json::Value::is_array));
        at.key("jwks").must(fits, Code::BadValue, || {
            "this is no JSON key set; it needs a list under \"keys\"".to_owned()
        });
    }
    for (field, list) in [
        ("audiences", &rule.audiences),
        ("fromParams", &rule.from_params),
        ("fromCookies", &rule.from_cookies),
        ("spaceDelimitedClaims", &rule.space_delimited_claims),
    ] {
        at.key(field).each(list, |at, text| {
            rules::required(text, at, "a text that is not empty");
        });
    }
    at.key("fromHeaders")
        .each(&rule.from_headers, |at, header| http_headers::name(&header.name, &at.key("name")));
    if !rule.output_payload_to_header.is_empty() {
        http_headers::name(&rule.output_payload_to_header, &at.key("outputPayloadToHeader"));
    }
    at.key("outputClaimToHeaders").each(&rule.output_claim_to_headers, |at, entry| {
        http_headers::name(&entry.header, &at.key("header"));
        rules::required(&entry.claim, &at.key("claim"), "the claim");
    });
    rules::span(rule.timeout, &at.key("timeout"));
}
