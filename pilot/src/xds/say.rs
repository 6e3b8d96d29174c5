//! `say(snapshot, view, memo) -> Layers`: the list of layers for each role.
//!
//! Pure: the same snapshot and view give the same names and versions, in the same order, whatever was said before.

use std::sync::Arc;

use wire::{Kind, Resource};

use super::filters::{Common, Direction};
use super::layers;
use super::memo::{Memo, Resources};
use super::view::{Role, View};
use crate::model::mesh::Observe;
use crate::model::narrow::Narrow;
use crate::model::scope::Scope;
use crate::model::{Digest, Hashed, Snapshot};

/// One layer: sorted by kind and name, shared by all views with the same key.
#[derive(Clone, Debug)]
pub struct Layer {
    pub name: &'static str,
    pub key: Digest,
    pub resources: Resources,
}

/// Everything that a class of proxies gets. No name is in two layers.
#[derive(Clone, Debug, Default)]
pub struct Layers(pub Vec<Layer>);

impl Layers {
    /// All resources of a kind, by name.
    pub fn of(&self, kind: Kind) -> Vec<Arc<Resource>> {
        let mut out: Vec<_> = self.iter().filter(|r| r.kind == kind).cloned().collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    /// All resources, layer by layer.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.0.iter().flat_map(|layer| layer.resources.iter())
    }

    /// The resource with this name.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.iter().find(|r| r.kind == kind && *r.name == *name)
    }
}

/// What all layers look at.
pub struct Sight<'a> {
    pub snapshot: &'a Snapshot,
    pub view: &'a View,
    pub memo: &'a Memo,
    pub scope: &'a Hashed<Scope>,
}

impl Sight<'_> {
    /// Settings of all chains that face one way.
    pub fn common(&self, direction: Direction) -> Common {
        let mesh = &self.snapshot.mesh;
        let told = if direction == Direction::Inbound { &self.view.server } else { &self.view.client };
        let mut observe: Observe = (**told).clone();
        // A client refuses a listener whose collector it does not know.
        observe.tracing = observe
            .tracing
            .filter(|t| self.scope.service(&t.host).is_some_and(|v| v.service.port(t.port).is_some()));
        Common {
            direction,
            observe,
            paths: mesh.paths,
            features: self.view.features,
            http10: self.view.http10,
            ipv6: self.view.ipv6,
        }
    }

    /// Key of a layer: its name and what it depends on.
    pub fn layer(
        &self,
        name: &'static str,
        on: &impl std::hash::Hash,
        build: impl FnOnce() -> Vec<Arc<Resource>>,
    ) -> Layer {
        let key = Digest::of(&(name, on));
        Layer { name, key, resources: self.memo.layer(key, build) }
    }
}

/// Everything that proxies of this class get.
pub fn say(snapshot: &Snapshot, view: &View, memo: &Memo) -> Layers {
    let mesh = &snapshot.mesh;
    let told = [&view.client, &view.server];
    let own: Vec<&str> = told.iter().filter_map(|o| o.tracing.as_ref()).map(|t| t.host.as_str()).collect();
    let scope = memo.scope(&Narrow {
        scope: snapshot.scopes.of(&view.namespace),
        namespace: &view.namespace,
        sidecar: view.sidecar.as_ref(),
        rules: &view.rules,
        base: mesh.policy.as_ref(),
        own: &own,
    });
    let sight = Sight { snapshot, view, memo, scope: &scope };
    Layers(match view.role {
        Role::Sidecar => vec![
            layers::clusters::layer(&sight),
            layers::listeners::layer(&sight),
            layers::routes::layer(&sight),
            layers::clusters::endpoints(&sight),
            layers::inbound::layer(&sight),
            layers::dns::layer(&sight),
            layers::proxy_port::layer(&sight),
        ],
        Role::Gateway => vec![
            layers::clusters::layer(&sight),
            layers::clusters::endpoints(&sight),
            layers::gateway::listeners(&sight),
            layers::gateway::routes(&sight),
            layers::gateway::secrets(&sight),
        ],
        Role::Grpc => vec![layers::grpc::layer(&sight), layers::grpc::endpoints(&sight)],
    })
}
