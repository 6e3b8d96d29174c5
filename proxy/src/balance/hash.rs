//! Tables of the hash policies, built when a set is made.

/// Ring or Maglev table over the healthy endpoints of one priority: (hash or slot) -> index into the flattened list.
#[derive(Debug)]
pub enum HashTable {
    /// Sorted by hash.
    Ring(Vec<(u64, u32)>),
    Maglev(Vec<u32>),
}
