//! One line per decision.
//!
//! In: who asked, by which proof, from where, and the outcome. Out: one log event in the scope `audit`. No key, token or
//! certificate text is ever part of it.

use std::time::SystemTime;

use wire::SpiffeId;

use crate::attest::Caller;
use crate::denied::Denied;

/// A certificate as the audit knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Hexadecimal.
    pub serial: String,
    /// End of its life.
    pub not_after: SystemTime,
}

/// A decision.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    /// The call.
    pub caller: &'a Caller,
    /// Whom the attestor took it for, and which attestor.
    pub attested: Option<(&'a SpiffeId, &'static str)>,
    /// What came of it.
    pub outcome: Result<&'a Issued, &'a Denied>,
}

impl Decision<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        let (identity, by) = match self.attested {
            Some((identity, by)) => (identity.to_string(), by),
            None => ("-".into(), "-"),
        };
        let from = &self.caller.address;
        match self.outcome {
            Ok(issued) => {
                let until = base::telemetry::rfc3339(issued.not_after);
                tracing::info!(target: "audit", identity, by, from, serial = issued.serial, until, "certificate issued");
            }
            Err(denied) => {
                tracing::warn!(target: "audit", identity, by, from, reason = %denied, "certificate denied");
            }
        }
    }
}
