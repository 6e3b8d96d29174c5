//! One line per decision.
//!
//! In: who asked, by which proof, from where, and the outcome. Out: one log event in the scope `audit`. No key, token or
//! certificate text is ever part of it.

use std::time::SystemTime;

use crate::attest::{Attested, Caller};
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
    pub attested: Option<(&'a Attested, &'static str)>,
    /// What came of it.
    pub outcome: Result<&'a Issued, &'a Denied>,
}

impl Decision<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        let (identity, by, pod) = match self.attested {
            Some((Attested { identity, pod }, by)) => (identity.to_string(), by, pod.as_deref()),
            None => ("-".into(), "-", None),
        };
        let from = &self.caller.address;
        match self.outcome {
            Ok(issued) => {
                let until = base::telemetry::rfc3339(issued.not_after);
                tracing::info!(target: "audit", identity, by, pod, from, serial = issued.serial, until, "certificate issued");
            }
            Err(denied) => {
                tracing::warn!(target: "audit", identity, by, pod, from, reason = %denied, "certificate denied");
            }
        }
    }
}

/// Writes the line of a caller that was let in nowhere. `door` is what it wanted, for example `xDS`.
pub fn refused(door: &'static str, caller: &Caller, denied: &Denied) {
    tracing::warn!(target: "audit", door, from = caller.address, reason = %denied, "caller refused");
}
