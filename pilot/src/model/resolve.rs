//! The table of sections and their inputs.
//!
//! `resolve(prev, &world)` looks again at each section whose inputs changed and keeps the previous value where the
//! result is equal. Pure: the same world gives the same snapshot, with or without a previous one.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;

use api::{Findings, Kind};

use super::hashed::{Digest, Hashed};
use super::snapshot::{Part, Snapshot};
use super::{
    asked, check, endpoints, gateways, identity, mesh_config, routes, scope, secrets, services, sidecars,
    telemetries, traffic, workloads,
};
use crate::world::World;

/// Understands the world. `prev` must come from the same world, at an earlier time.
pub fn resolve(prev: Option<&Snapshot>, world: &World) -> (Snapshot, Findings) {
    let stamp = |kinds: &[Kind]| world.stamp(kinds);
    let mesh = part(prev.map(|p| &p.mesh), &stamp(&[Kind::ConfigMap, Kind::Namespace]), |out| {
        mesh_config::resolve(world, out)
    });
    // In every key: what is not discovered is as if it were not there.
    let m = mesh.value.digest();
    let less = mesh.discovered.as_ref().map(|namespaces| world.only(namespaces));
    let world = less.as_ref().unwrap_or(world);
    let from = (stamp(&[Kind::Service, Kind::ServiceEntry]), m);
    let services = part(prev.map(|p| &p.services), &from, |out| services::resolve(world, &mesh, out));
    let from = (stamp(&[Kind::PeerAuthentication]), m);
    let identity =
        part(prev.map(|p| &p.identity), &from, |out| identity::resolve(world, &mesh.root_namespace, out));
    let from = (stamp(&[Kind::Pod, Kind::Node]), m);
    let workloads = part(prev.map(|p| &p.workloads), &from, |_| {
        workloads::resolve(prev.map(|p| &*p.workloads.value), world, &mesh.trust_domain)
    });
    let kinds =
        [Kind::EndpointSlice, Kind::Endpoints, Kind::ServiceEntry, Kind::WorkloadEntry, Kind::Service];
    let from = (stamp(&kinds), m, services.value.digest(), workloads.value.digest(), identity.value.digest());
    let endpoints = part(prev.map(|p| &p.endpoints), &from, |_| {
        let sources = endpoints::Sources {
            world,
            services: &services,
            workloads: &workloads,
            identity: &identity.value,
            mesh: &mesh.value,
        };
        endpoints::resolve(prev.map(|p| &*p.endpoints.value), &sources)
    });
    let from = (stamp(&[Kind::VirtualService]), m);
    let routes = part(prev.map(|p| &p.routes), &from, |out| routes::resolve(world, &mesh, out));
    let from = (stamp(&[Kind::DestinationRule]), m);
    let traffic = part(prev.map(|p| &p.traffic), &from, |out| traffic::resolve(world, &mesh, out));
    let from = (stamp(&[Kind::Gateway]), m);
    let gateways = part(prev.map(|p| &p.gateways), &from, |out| gateways::resolve(world, out));
    let from = (stamp(&[Kind::Sidecar]), m);
    let sidecars =
        part(prev.map(|p| &p.sidecars), &from, |out| sidecars::resolve(world, &mesh.root_namespace, out));
    let from = [m, services.value.digest(), traffic.value.digest()];
    let asked = part(prev.map(|p| &p.asked), &from, |_| asked::resolve(&mesh, &services, &traffic));
    let from = (stamp(&[Kind::Telemetry]), m);
    let telemetry = part(prev.map(|p| &p.telemetry), &from, |out| telemetries::resolve(world, &mesh, out));
    let mentioned = mentioned(&gateways, &traffic);
    let from = (stamp(&[Kind::Secret]), &mentioned, m);
    let secrets = part(prev.map(|p| &p.secrets), &from, |out| secrets::resolve(world, &mentioned, out));
    let sources = scope::Sources {
        mesh: &mesh,
        services: &services,
        traffic: &traffic,
        routes: &routes,
        accounts: &endpoints.1,
        endpoints: &endpoints.0,
    };
    let [of_services, of_traffic, of_routes] =
        [services.value.digest(), traffic.value.digest(), routes.value.digest()];
    let from = (m, of_services, of_traffic, of_routes, &endpoints.1, scope::shown(&sources));
    let scopes = part(prev.map(|p| &p.scopes), &from, |_| scope::resolve(&sources));
    let unhonoured =
        part(prev.map(|p| &p.unhonoured), &(stamp(&unhonoured_kinds()), m), |out| unhonoured(world, out));
    let snapshot = Snapshot {
        mesh,
        services,
        identity,
        workloads,
        endpoints,
        routes,
        traffic,
        gateways,
        secrets,
        sidecars,
        asked,
        telemetry,
        scopes,
        unhonoured,
    };
    let findings = findings(world, &snapshot);
    (snapshot, findings)
}

/// Looks again only if something it is made from has changed.
fn part<T: Hash>(prev: Option<&Part<T>>, from: &impl Hash, make: impl FnOnce(&mut Findings) -> T) -> Part<T> {
    let from = Digest::of(from);
    if let Some(old) = prev.filter(|old| old.from == from) {
        return Part { value: old.value.clone(), from, findings: old.findings.clone() };
    }
    let mut findings = Findings::new();
    let value = Hashed::new(make(&mut findings)).reuse(prev.map(|p| &p.value));
    Part { value, from, findings: Arc::new(findings) }
}

/// Names of Secrets that somebody means.
fn mentioned(gateways: &gateways::Gateways, traffic: &traffic::Traffic) -> BTreeSet<String> {
    let servers = gateways.all.iter().flat_map(|g| &g.servers).filter_map(|s| s.tls.as_ref());
    let mut out: BTreeSet<String> = BTreeSet::new();
    for tls in servers {
        out.extend(tls.credentials.iter().cloned());
        out.extend(Some(tls.ca_credential.clone()).filter(|n| !n.is_empty()));
    }
    let policies = traffic.every().flat_map(|r| r.policies());
    out.extend(
        policies.filter_map(|p| p.tls.as_ref()).map(|t| t.credential.clone()).filter(|n| !n.is_empty()),
    );
    out
}

/// Kinds with something that is not honoured yet.
fn unhonoured_kinds() -> Vec<Kind> {
    Kind::ALL.iter().copied().filter(|kind| !api::honoured::patterns(*kind).is_empty()).collect()
}

fn unhonoured(world: &World, out: &mut Findings) {
    let kinds = unhonoured_kinds();
    for object in world.objects().filter(|o| kinds.contains(&o.kind())) {
        out.extend(api::honoured::unhonoured(object));
    }
}

/// Everything that is wrong, in the order of the sections, then of the checks across them.
fn findings(world: &World, snapshot: &Snapshot) -> Findings {
    let sections = [
        &snapshot.mesh.findings,
        &snapshot.services.findings,
        &snapshot.identity.findings,
        &snapshot.workloads.findings,
        &snapshot.endpoints.findings,
        &snapshot.routes.findings,
        &snapshot.traffic.findings,
        &snapshot.gateways.findings,
        &snapshot.secrets.findings,
        &snapshot.sidecars.findings,
        &snapshot.telemetry.findings,
        &snapshot.unhonoured.findings,
    ];
    let mut out: Findings = sections.into_iter().flat_map(|f| f.iter().cloned()).collect();
    check::across(world, snapshot, &mut out);
    out.sort();
    out
}
