//! A resource that a client cannot honour, said so that a human can act on it.
//!
//! In: the proxy's compiler makes one [`Reject`] per resource that it refuses. Out: all rejects of one response
//! fold into the single error detail of a NACK; pilot parses nothing back, it shows the text. One bad resource
//! never blocks its neighbours: they are applied, the last good version of the bad one stays.

use std::fmt;
use std::sync::Arc;

use envoy_types::pb::google::rpc::Status;

use crate::kind::Kind;

/// gRPC's code for "internal", which is what Envoy puts into its NACKs.
const CODE_INTERNAL: i32 = 13;

/// One refused resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its type.
    pub kind: Kind,
    /// Its name.
    pub resource: Arc<str>,
    /// The field, as in the configuration (`filter_chains[0].filters[1].typed_config`); may be empty.
    pub path: String,
    /// What is wrong, in one line.
    pub reason: String,
}

impl Reject {
    /// All of it.
    pub fn new(
        kind: Kind,
        resource: impl Into<Arc<str>>,
        path: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Reject { kind, resource: resource.into(), path: path.into(), reason: reason.into() }
    }

    /// The same reject, its path below `parent`: for builders that go down field by field.
    pub fn under(mut self, parent: &str) -> Self {
        self.path = match (parent, self.path.as_str()) {
            ("", _) => self.path,
            (parent, "") => parent.into(),
            (parent, path) if path.starts_with('[') => format!("{parent}{path}"),
            (parent, path) => format!("{parent}.{path}"),
        };
        self
    }

    /// Folds the rejects of one response into the detail of its NACK; `None` if there are none.
    pub fn fold(rejects: &[Reject]) -> Option<Status> {
        if rejects.is_empty() {
            return None;
        }
        let message = rejects.iter().map(Reject::to_string).collect::<Vec<_>>().join("\n");
        Some(Status { code: CODE_INTERNAL, message, details: Vec::new() })
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.kind, self.resource)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_into_one_detail() {
        assert_eq!(Reject::fold(&[]), None);
        let rejects = [
            Reject::new(Kind::Listener, "a", "[0].x", "unknown filter").under("filters"),
            Reject::new(Kind::Listener, "b", "", "no address"),
        ];
        let status = Reject::fold(&rejects).unwrap();
        assert_eq!(status.message, "lds a: filters[0].x: unknown filter\nlds b: no address");
        assert_eq!(status.code, 13);
    }
}
