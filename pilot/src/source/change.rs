//! What a source says: objects that came, changed or went, in batches that must be seen whole.
//!
//! Made by a source, taken by the writer in `app`. A batch is published as a whole or not at all: there are no half
//! lists.

use std::sync::Arc;

use api::{AnyObject, Findings, Key};

use crate::world::{Pod, Slice};

/// One change to what was written.
#[derive(Clone, Debug)]
pub enum Change {
    /// New, or a new version.
    Apply(Arc<AnyObject>),
    /// A pod of a cluster, of which there may be 100,000: no more of it than the mesh reads.
    Pod(Arc<Pod>),
    /// An EndpointSlice of a cluster, as little.
    Slice(Arc<Slice>),
    Delete(Key),
}

/// Changes that belong together: an initial list, all files touched at once. Nothing is published between them.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub changes: Vec<Change>,
    /// All mistakes of everything that the source holds now, not only of this batch.
    pub findings: Findings,
}

impl Batch {
    /// True when no object changed; the findings may have.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}
