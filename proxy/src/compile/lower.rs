//! `lower`: one resource into its compiled part, or a reject that names the field. The expensive step, once per
//! version: expressions, formats, matchers, certificates' names. Pure but for the numbers that new names get.

use std::sync::Arc;

use wire::pb::envoy::config::cluster::v3::Cluster as ClusterMessage;
use wire::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use wire::pb::envoy::config::listener::v3::Listener as ListenerMessage;
use wire::pb::envoy::extensions::transport_sockets::tls::v3::Secret as SecretMessage;
use wire::{Kind, Reject, Resource};

use super::cluster::ClusterPart;
use super::endpoint::Assignment;
use super::read::{Lower, Refusal, decode};
use super::route::RoutePart;
use super::secret::{self, SecretPart};
use super::slots::Slots;
use super::{cluster, endpoint, listener, route};
use crate::config::{Listener, VirtualHost};

/// A compiled resource.
#[derive(Debug)]
pub enum Part {
    Cluster(Box<ClusterPart>),
    Endpoints(Arc<Assignment>),
    Listener(Arc<Listener>),
    Route(Box<RoutePart>),
    VirtualHost(Arc<VirtualHost>),
    Secret(SecretPart),
    Names(Arc<wire::nds::NameTable>),
    Workload(Arc<wire::nds::Workload>),
}

/// Compiles one resource.
pub fn lower(resource: &Resource, slots: &mut Slots) -> Result<Part, Reject> {
    parts(resource, slots)
        .map_err(|refusal| Reject::new(resource.kind, resource.name.clone(), refusal.path, refusal.reason))
}

fn parts(resource: &Resource, slots: &mut Slots) -> Lower<Part> {
    let version = &*resource.version;
    Ok(match resource.kind {
        Kind::Cluster => {
            let part = cluster::cluster(decode::<ClusterMessage>(&resource.bytes)?, version)?;
            named(resource, &part.name)?;
            Part::Cluster(Box::new(part))
        }
        Kind::Endpoints => {
            let message = decode::<ClusterLoadAssignment>(&resource.bytes)?;
            named(resource, &message.cluster_name)?;
            Part::Endpoints(endpoint::assignment(message, version)?)
        }
        Kind::Listener => {
            let part = listener::listener(decode::<ListenerMessage>(&resource.bytes)?, version, slots)?;
            named(resource, &part.name)?;
            Part::Listener(Arc::new(part))
        }
        Kind::Route => {
            let part = route::table(&resource.bytes, version, slots)?;
            named(resource, &part.table.name)?;
            Part::Route(Box::new(part))
        }
        Kind::VirtualHost => {
            let host = route::virtual_host(&resource.bytes, version, route::VHDS_MAX_BODY, slots)?;
            Part::VirtualHost(Arc::new(host))
        }
        Kind::Secret => Part::Secret(secret::secret(decode::<SecretMessage>(&resource.bytes)?)?),
        Kind::NameTable => Part::Names(Arc::new(decode(&resource.bytes)?)),
        Kind::Workload => Part::Workload(Arc::new(decode(&resource.bytes)?)),
        Kind::Extension => return Err(Refusal::new("extension configuration discovery is not supported")),
    })
}

/// What a resource calls itself must be what it is called.
fn named(resource: &Resource, name: &str) -> Lower<()> {
    if *resource.name == *name || name.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        path: "name".into(),
        reason: format!("is {name}, but the resource is called {}", resource.name),
    })
}
