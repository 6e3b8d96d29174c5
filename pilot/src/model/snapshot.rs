//! The snapshot: everything that was written, understood. Immutable sections, each with its digest.
//!
//! In: what `resolve` made of each section. Out: the one value that `push` publishes and `say` reads. A section keeps
//! its `Arc`, its digest and its findings as long as what it is made from stays the same.

use std::ops::Deref;
use std::sync::Arc;

use api::Findings;

use super::asked::Asked;
use super::endpoint::{Accounts, Endpoints};
use super::gateways::Gateways;
use super::hashed::{Digest, Hashed};
use super::identity::Identity;
use super::mesh::Mesh;
use super::routes::Routes;
use super::scope::Scopes;
use super::secrets::Secrets;
use super::services::Services;
use super::sidecar::Sidecars;
use super::telemetry::Telemetries;
use super::traffic::Traffic;
use super::workloads::Workloads;

/// A section: its value, what it was made from, and what was wrong.
#[derive(Clone, Debug)]
pub struct Part<T> {
    pub value: Hashed<T>,
    /// Digest of everything that it was made from.
    pub from: Digest,
    pub findings: Arc<Findings>,
}

impl<T> Deref for Part<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// What the mesh is at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub mesh: Part<Mesh>,
    pub services: Part<Services>,
    pub identity: Part<Identity>,
    pub workloads: Part<Workloads>,
    /// The fast lane.
    pub endpoints: Part<(Endpoints, Accounts)>,
    pub routes: Part<Routes>,
    pub traffic: Part<Traffic>,
    pub gateways: Part<Gateways>,
    pub secrets: Part<Secrets>,
    pub sidecars: Part<Sidecars>,
    pub asked: Part<Asked>,
    pub telemetry: Part<Telemetries>,
    pub scopes: Part<Scopes>,
    /// Nothing but findings: what is accepted and not honoured.
    pub unhonoured: Part<()>,
}

impl Snapshot {
    /// Digest of all sections: equal digests, equal resources for everybody.
    pub fn digest(&self) -> Digest {
        Digest::of(&[
            self.mesh.value.digest(),
            self.services.value.digest(),
            self.identity.value.digest(),
            self.workloads.value.digest(),
            self.endpoints.value.digest(),
            self.routes.value.digest(),
            self.traffic.value.digest(),
            self.gateways.value.digest(),
            self.secrets.value.digest(),
            self.sidecars.value.digest(),
            self.asked.value.digest(),
            self.telemetry.value.digest(),
            self.scopes.value.digest(),
        ])
    }
}
