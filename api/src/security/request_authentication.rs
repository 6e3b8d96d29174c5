//! RequestAuthentication: which tokens a request may bring and how they are verified.
//!
//! A request without a token passes; a request with a bad one gets 401.

use crate::selector::{TargetRef, WorkloadSelector};
use crate::time::Duration;

spec! {
    pub struct RequestAuthentication {
        selector: Option<WorkloadSelector>,
        /// Deprecated form of `target_refs`.
        target_ref: Option<TargetRef>,
        target_refs: Vec<TargetRef>,
        jwt_rules: Vec<JwtRule>,
    }

    pub struct JwtRule {
        issuer: String,
        /// Any of them; none: not checked.
        audiences: Vec<String>,
        /// Excludes `jwks`. Neither: found from the issuer.
        jwks_uri: String,
        /// Inline key set.
        jwks: String,
        from_headers: Vec<JwtHeader>,
        from_params: Vec<String>,
        from_cookies: Vec<String>,
        output_payload_to_header: String,
        /// False: the token is removed before forwarding.
        forward_original_token: bool,
        output_claim_to_headers: Vec<ClaimToHeader>,
        /// For fetching keys; 5 s where absent.
        timeout: Option<Duration>,
        space_delimited_claims: Vec<String>,
        presence: Option<JwtPresence>,
    }

    pub struct JwtHeader {
        name: String,
        /// In front of the token, such as `Bearer `.
        prefix: String,
    }

    pub struct ClaimToHeader {
        header: String,
        claim: String,
    }
}

choice! {
    pub enum JwtPresence {
        #[default]
        Optional = "OPTIONAL",
        Required = "REQUIRED",
    }
}
