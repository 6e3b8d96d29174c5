//! What `meshctl up` would make of texts: pods with names and addresses, Services with addresses and endpoints.
//!
//! In: texts. Out: the objects that pilot would read, with the lines of the user's files where they came from there,
//! and the pods. The planning is that of the running mesh (`local`); only the random part of pod names is not random.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use api::{AnyObject, Findings, Kind, Time};
use tokio::sync::watch;

use crate::client::{Pod, Pods};
use crate::local::addresses::Addresses;
use crate::local::ground::Addressing;
use crate::local::input::Text;
use crate::local::plan::{PodPlan, Template};
use crate::local::reconcile;
use crate::local::system;
use crate::local::workloads::{self, Step};
use crate::local::world::{ContainerState, PodRecord, State, World};

/// Letters of generated names.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A planned mesh.
pub struct Plan {
    world: World,
    /// What is wrong with the texts.
    pub findings: Findings,
}

impl Plan {
    /// Plans the objects of these texts, beside those that every mesh has.
    ///
    /// # Errors
    /// A pod cannot be planned; the error names it.
    pub fn of(texts: &[Text], namespace: &str) -> Result<Self> {
        let mut findings = Findings::new();
        let mut objects = Vec::new();
        for text in texts {
            let parsed = api::parse_in(&text.name, &text.text, namespace);
            findings.extend(parsed.findings);
            objects.extend(parsed.objects.into_iter().map(|object| (object, Some(text.path.clone()))));
        }
        let mut plan = Self::of_objects(objects)?;
        findings.extend(std::mem::take(&mut plan.findings));
        plan.findings = findings;
        Ok(plan)
    }

    /// The same for objects that were read already, each with its manifest.
    ///
    /// # Errors
    /// As above.
    pub fn of_objects(objects: impl IntoIterator<Item = (AnyObject, Option<PathBuf>)>) -> Result<Self> {
        let mut world = World::new(Addresses::on_paper());
        let mut findings = Findings::new();
        for object in api::parse("system.yaml", system::OBJECTS).objects {
            world.put(object, None, true);
        }
        for (object, manifest) in objects {
            let own = object.findings();
            let refused = own.has_errors();
            findings.extend(own);
            if !refused && object.kind() != Kind::Unknown {
                world.put(object, manifest, false);
            }
        }
        let mut plan = Self { world, findings };
        plan.pods()?;
        Ok(plan)
    }

    fn pods(&mut self) -> Result<()> {
        let mut ordinals: BTreeMap<api::Key, usize> = BTreeMap::new();
        for step in workloads::steps(&self.world) {
            let Step::Start(template, name) = step else { continue };
            let ordinal = ordinals.entry(template.owner.clone()).or_default();
            let name = settled(&template, &name, *ordinal);
            *ordinal += 1;
            let number = self.world.addresses.take_pod()?;
            let plan =
                PodPlan::new(&self.world, &template, &name, number, Addressing::Cluster { ipv6: false })
                    .map_err(|error| anyhow::anyhow!("pod {name}: {error}"))?;
            let record = running(plan);
            self.world.pods.insert(record.plan.key(), record);
        }
        Ok(())
    }

    /// The objects that pilot would read.
    ///
    /// # Errors
    /// There are more Services than addresses.
    pub fn objects(&mut self) -> Result<Vec<AnyObject>> {
        let facts: Vec<_> = self.world.pods.values().map(PodRecord::facts).collect();
        let views = reconcile::views(&mut self.world, &facts)?;
        let mut objects = Vec::new();
        for value in reconcile::for_pilot(&self.world, &views) {
            objects.extend(api::parse::from_value(value).objects);
        }
        // The way through JSON has lost who wrote what where.
        for object in &mut objects {
            let key = object.key();
            let pod = self.world.pods.get(&(key.namespace.clone(), key.name.clone()));
            let key = match (key.kind, pod) {
                (Kind::Pod, Some(pod)) => pod.plan.owner.clone(),
                _ => key,
            };
            if let Some(stored) = self.world.objects.get(&key) {
                *object.origin_mut() = stored.object.origin().clone();
            }
        }
        Ok(objects)
    }

    /// The planned pods.
    pub fn list(&self) -> Vec<Pod> {
        self.world.pods.values().map(|pod| Pod::read(&pod.value(false))).collect()
    }

    /// The planned pods, and the Services that may stand for them.
    pub fn pods_and_services(&self) -> Pods {
        let pods = self.world.pods.values().map(|pod| pod.value(false));
        let of_kind = |kind| self.world.objects.values().filter(move |stored| stored.object.kind() == kind);
        let services = of_kind(Kind::Service).map(|stored| stored.object.to_value());
        Pods::read(&pods.chain(services).collect::<Vec<_>>())
    }

    /// One planned pod.
    ///
    /// # Errors
    /// There is none.
    pub fn pod(&self, pod: &Pod) -> Result<Arc<PodPlan>> {
        let key = (pod.namespace.clone(), pod.name.clone());
        self.world
            .pods
            .get(&key)
            .map(|record| record.plan.clone())
            .with_context(|| format!("no pod {}", pod.full()))
    }

    /// The environment that a container would get.
    ///
    /// # Errors
    /// Something that it refers to is missing.
    pub fn environment(
        &self,
        pod: &PodPlan,
        container: &str,
    ) -> Result<(Vec<String>, BTreeMap<String, String>)> {
        let own = pod.spec.containers.iter().find(|one| one.name == container);
        let own = own.with_context(|| format!("pod {} has no container {container}", pod.name))?;
        let env = pod.environment(&self.world, own, BTreeMap::new()).map_err(anyhow::Error::msg)?;
        Ok((own.args.clone(), env))
    }

    /// Objects that every mesh has, which no user wrote.
    pub fn is_own(&self, key: &api::Key) -> bool {
        self.world.objects.get(key).is_some_and(|stored| stored.own)
    }
}

/// The planned name, with letters that depend on the workload alone where `up` draws them.
fn settled(template: &Template, name: &str, ordinal: usize) -> String {
    let drawn = !matches!(template.owner.kind, Kind::Pod | Kind::StatefulSet);
    let stem = name.rsplit_once('-').filter(|_| drawn).map(|(stem, _)| stem);
    let Some(stem) = stem else { return name.to_owned() };
    let mut number = wire::resource::hash128(&(&template.owner, ordinal));
    let mut letters = String::new();
    for _ in 0..5 {
        let at = usize::try_from(number % 27).unwrap_or_default();
        letters.push(char::from(LETTERS[at]));
        number /= 27;
    }
    format!("{stem}-{letters}")
}

/// A pod whose containers all run and are ready.
fn running(plan: PodPlan) -> PodRecord {
    let state = || ContainerState {
        state: State::Running(Time::now()),
        ready: true,
        restarts: 0,
        pid: None,
        last: None,
    };
    PodRecord {
        containers: plan.spec.containers.iter().map(|one| (one.name.clone(), state())).collect(),
        plan: Arc::new(plan),
        sandbox: None,
        stop: watch::channel(false).0,
        initialized: true,
        over: None,
    }
}

/// What is only wrong when all objects are looked at together. `planned` are the objects as a control plane has
/// them, pods included.
pub fn model_findings(planned: impl IntoIterator<Item = AnyObject>) -> Findings {
    pilot::offline::Paper::of(planned).findings
}
