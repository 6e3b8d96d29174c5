//! BackendTLSPolicy and XBackendTrafficPolicy: how backends are reached.

use std::collections::BTreeMap;

use super::{LocalObjectReference, LocalPolicyTargetReference, SessionPersistence};
use crate::time::Duration;

spec! {
    /// TLS towards a backend.
    pub struct BackendTlsPolicy {
        target_refs: Vec<LocalPolicyTargetReference>,
        validation: BackendTlsValidation,
        options: BTreeMap<String, String>,
    }

    pub struct BackendTlsValidation {
        /// Excludes `well_known_ca_certificates`.
        ca_certificate_refs: Vec<LocalObjectReference>,
        /// `System`.
        #[serde(rename = "wellKnownCACertificates")]
        well_known_ca_certificates: Option<String>,
        /// Server name, and the name that the certificate must have.
        hostname: String,
        subject_alt_names: Vec<BackendSubjectAltName>,
    }

    pub struct BackendSubjectAltName {
        /// `Hostname` or `URI`.
        #[serde(rename = "type")]
        name_type: String,
        hostname: Option<String>,
        uri: Option<String>,
    }

    pub struct XBackendTrafficPolicy {
        target_refs: Vec<LocalPolicyTargetReference>,
        retry_constraint: Option<RetryConstraint>,
        session_persistence: Option<SessionPersistence>,
    }

    pub struct RetryConstraint {
        budget: Option<BudgetDetails>,
        min_retry_rate: Option<RequestRate>,
    }

    pub struct BudgetDetails {
        /// 20 where absent.
        percent: Option<i32>,
        /// 10 s where absent.
        interval: Option<Duration>,
    }

    pub struct RequestRate {
        /// 10 where absent.
        count: Option<i32>,
        /// 1 s where absent.
        interval: Option<Duration>,
    }
}
