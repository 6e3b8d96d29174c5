//! Numbers for names of clusters and route tables, given once and for the life of the process, so that a route
//! names its cluster without a hash and a part outlives the resource that it points to.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{ClusterSlot, RouteSlot};

/// The names that were ever mentioned.
#[derive(Debug, Default)]
pub struct Slots {
    clusters: Table,
    routes: Table,
}

/// Names in order of their first mention.
#[derive(Debug, Default)]
struct Table {
    /// Shared with the Config until a new name comes.
    names: Arc<Vec<Arc<str>>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Table {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        Arc::make_mut(&mut self.names).push(name.clone());
        self.numbers.insert(name, number);
        number
    }
}

impl Slots {
    /// The slot of a cluster's name.
    pub fn cluster(&mut self, name: &str) -> ClusterSlot {
        ClusterSlot(self.clusters.number(name))
    }

    /// The slot of a route configuration's name.
    pub fn route(&mut self, name: &str) -> RouteSlot {
        RouteSlot(self.routes.number(name))
    }

    /// Names of all clusters by slot.
    pub fn cluster_names(&self) -> &Arc<Vec<Arc<str>>> {
        &self.clusters.names
    }

    /// Names of all route tables by slot.
    pub fn route_names(&self) -> &Arc<Vec<Arc<str>>> {
        &self.routes.names
    }
}
