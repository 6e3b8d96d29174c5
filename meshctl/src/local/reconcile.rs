//! The reconciler: makes what runs and what everybody knows follow what was written.
//!
//! In: wake-ups after any change. Out, in this order: pods started and ended, Services resolved, the translation
//! table, DNS, published ports, and pilot's folder. One task; it looks at everything each time, and writes only
//! what differs, so it never has to remember what it still owes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::core::{Service, ServiceAccount};
use api::{Kind, Object};
use serde_json::Value;
use tokio::sync::watch;

use super::egress;
use super::mesh::Mesh;
use super::plan::{PILOT_NUMBER, PodPlan};
use super::pod;
use super::services::{self, PodFacts, ServiceView};
use super::system::SYSTEM_NAMESPACE;
use super::translate;
use super::workloads::{self, Step};
use super::world::{PodRecord, World};

/// Runs until the mesh ends. Lines worth telling go to `say`.
pub async fn run(mesh: Arc<Mesh>, say: impl Fn(String)) {
    let mut last = None;
    while !mesh.ending() {
        let asked = mesh.asked();
        // Pods are in pilot's folder before their processes run: pilot's first look is complete.
        let starting = pods(&mesh, &say);
        match publish(&mesh, &mut last, &say).await {
            Ok(()) => mesh.done(asked),
            Err(error) => say(format!("the mesh could not be brought up to date: {error:#}")),
        }
        for (plan, stop) in starting {
            tokio::spawn(pod::run(Arc::clone(&mesh), plan, stop));
        }
        mesh.woken().await;
    }
}

type Starting = (Arc<PodPlan>, watch::Receiver<bool>);

fn pods(mesh: &Arc<Mesh>, say: &impl Fn(String)) -> Vec<Starting> {
    let mut starting = Vec::new();
    let mut world = mesh.world();
    for step in workloads::steps(&world) {
        match step {
            Step::End(key) => {
                if let Some(pod) = world.pods.get(&key) {
                    pod.stop.send_replace(true);
                }
            }
            Step::Start(template, name) => match start(mesh, &mut world, &template, &name) {
                Ok(started) => starting.push(started),
                Err(error) => say(format!("pod {name} cannot be made: {error}")),
            },
        }
    }
    // The control plane first: everybody else waits for it.
    starting.sort_by_key(|(plan, _)| plan.namespace != SYSTEM_NAMESPACE);
    starting
}

fn start(
    mesh: &Mesh,
    world: &mut World,
    template: &super::plan::Template,
    name: &str,
) -> Result<Starting, String> {
    // The control plane's address is written into pods' hosts files.
    world.addresses.service(SYSTEM_NAMESPACE, "istiod").map_err(|error| format!("{error:#}"))?;
    let pilot = (SYSTEM_NAMESPACE, "istiod") == (&template.owner.namespace, &template.owner.name);
    if pilot && mesh.ground.node().is_none() && world.pods.values().any(|pod| pod.plan.number == PILOT_NUMBER)
    {
        return Err("without namespaces there is one control plane at a time".to_owned());
    }
    let number =
        if pilot && mesh.ground.node().is_none() { Ok(PILOT_NUMBER) } else { world.addresses.take_pod() };
    let number = number.map_err(|error| format!("{error:#}"))?;
    let plan = match PodPlan::new(world, template, name, number, mesh.ground.addressing()) {
        Ok(plan) => Arc::new(plan),
        Err(error) => {
            world.addresses.release_pod(number);
            return Err(error);
        }
    };
    let (stop, stopped) = watch::channel(false);
    let record = PodRecord {
        plan: Arc::clone(&plan),
        sandbox: None,
        stop,
        initialized: false,
        over: None,
        containers: BTreeMap::new(),
    };
    world.pods.insert(plan.key(), record);
    Ok((plan, stopped))
}

/// What everybody knew after the last round.
struct Known {
    table: translate::Input,
}

async fn publish(mesh: &Arc<Mesh>, last: &mut Option<Known>, say: &impl Fn(String)) -> anyhow::Result<()> {
    let (views, facts) = {
        let mut world = mesh.world();
        let facts: Vec<PodFacts> =
            world.pods.values().filter(|pod| pod.over.is_none()).map(PodRecord::facts).collect();
        (Arc::new(views(&mut world, &facts)?), facts)
    };
    let table = translate::Input {
        services: views.as_ref().clone(),
        pods: facts
            .iter()
            .flat_map(|pod| [Some(IpAddr::V4(pod.ip4)), pod.ip6.map(IpAddr::V6)])
            .flatten()
            .collect(),
        egress: egress::PORT,
        ipv6: mesh.ground.ipv6(),
    };
    let same = last.as_ref().is_some_and(|known| known.table == table);
    if !same {
        if let Some(node) = mesh.ground.node() {
            translate::batch(&table).commit(&node.netfilter().await?)?;
        }
        if let Some(dns) = &mesh.dns {
            dns.set(super::dns::names(&views));
        }
        mesh.broker.follow(mesh, Arc::clone(&views)).into_iter().for_each(say);
        *last = Some(Known { table });
    }
    let (objects, revision) = {
        let world = mesh.world();
        (for_pilot(&world, &views), world.revision())
    };
    mesh.config.lock().write(objects)?;
    mesh.set_written(revision);
    if !same {
        mesh.tell();
    }
    Ok(())
}

/// Every Service together with the pods behind it.
pub(crate) fn views(world: &mut World, facts: &[PodFacts]) -> anyhow::Result<Vec<ServiceView>> {
    let all: Vec<Object<Service>> = world.all::<Service>().cloned().collect();
    let mut views = Vec::with_capacity(all.len());
    for service in &all {
        let addresses = world.addresses.service(&service.meta.namespace, &service.meta.name)?;
        views.push(services::view(service, addresses, facts));
    }
    Ok(views)
}

/// Kinds that only make pods; pilot hears of the pods.
const MAKERS: [Kind; 6] =
    [Kind::Deployment, Kind::ReplicaSet, Kind::StatefulSet, Kind::DaemonSet, Kind::Job, Kind::CronJob];

/// Everything that pilot must know, as an API server would show it.
pub(crate) fn for_pilot(world: &World, views: &[ServiceView]) -> Vec<Value> {
    let mut objects = Vec::new();
    for (key, stored) in &world.objects {
        match key.kind {
            Kind::Service | Kind::Pod => {}
            kind if MAKERS.contains(&kind) => {}
            _ => objects.push(stored.object.to_value()),
        }
    }
    for view in views {
        let Some(service) = world.find::<Service>(&view.namespace, &view.name) else { continue };
        objects.push(world.service_value(service, &ips(view)));
        objects.extend(services::slices(service, view));
    }
    let mut accounts: Vec<(String, String)> = Vec::new();
    for pod in world.pods.values() {
        let account = (pod.plan.namespace.clone(), pod.plan.spec.account().to_owned());
        if world.find::<ServiceAccount>(&account.0, &account.1).is_none() && !accounts.contains(&account) {
            accounts.push(account);
        }
        objects.push(pod.value(false));
    }
    objects.extend(accounts.into_iter().map(|(namespace, name)| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace},
        })
    }));
    objects
}

/// The addresses of a Service, as its spec shows them.
#[must_use]
pub fn ips(view: &ServiceView) -> Vec<String> {
    match &view.reach {
        services::Reach::Address(addresses) => addresses.iter().map(ToString::to_string).collect(),
        services::Reach::Headless | services::Reach::Name(_) => Vec::new(),
    }
}
