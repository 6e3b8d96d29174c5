//! The running mesh that a command talks to: its pods, the pages of its proxies and of its control plane.
//!
//! In: the flags that say which mesh, what the user calls a pod. Out: pods, pages, logs. Goes through `reach`, so that the
//! same question works on a laptop and in a cluster. Blocking: commands have one thread, the runtime has its own.

use std::io::IsTerminal;

use anyhow::{Context, Result, bail};
use api::Kind;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::cluster::InCluster;
use super::http::{self, Asked, Method};
use super::kube::Cluster;
use super::laptop::OnLaptop;
use super::pod::{Pod, PodName, Pods};
use super::reach::{Connection, Lines, Reach, What};
use crate::globals::{Globals, Target};
use crate::local::client::Client;
use crate::local::protocol::{Ask, Which};

/// Admin port of every proxy.
const ADMIN: u16 = 15000;
/// Debug port of pilot; free for those inside its pod.
const DEBUG: u16 = 8080;
/// Lists that are asked for at the same time.
const AT_ONCE: usize = 8;
/// Where names are looked for first on a laptop.
const DEFAULT_NAMESPACE: &str = "default";

/// The error of a mesh without a control plane: somebody has answered, and there is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoPilot(String);

/// A running mesh.
pub struct Mesh {
    reach: Reach,
    runtime: Runtime,
    system: String,
    /// Where names are looked for first.
    namespace: String,
    /// Somebody said so, and they are looked for nowhere else.
    said: bool,
    revision: Option<String>,
    /// Labels of pilots, where they are not the usual one.
    pilots: Vec<(String, String)>,
    admin: u16,
}

impl Mesh {
    /// Finds the mesh that is meant, and says on a terminal which one of this machine it is.
    ///
    /// # Errors
    /// No mesh of this name runs here, or no cluster can be found; the error says what to do.
    pub fn find(globals: &Globals) -> Result<Self> {
        let runtime = runtime()?;
        let reach = match globals.target()? {
            Target::Laptop(name) => {
                let laptop = OnLaptop::find(&name)?;
                if std::io::stdout().is_terminal() {
                    anstream::eprintln!("{}", laptop.place());
                }
                Reach::Laptop(laptop)
            }
            Target::Cluster => return Self::in_cluster(runtime, globals),
        };
        Ok(Self::with(reach, runtime, DEFAULT_NAMESPACE, globals))
    }

    /// The mesh that is meant, if a laptop mesh is meant and does not run: none.
    ///
    /// # Errors
    /// No cluster can be found, or the socket of the mesh cannot be used.
    pub fn find_if_running(globals: &Globals) -> Result<Option<Self>> {
        match globals.target()? {
            Target::Laptop(name) => match OnLaptop::find_if_running(&name)? {
                Some(laptop) => {
                    Ok(Some(Self::with(Reach::Laptop(laptop), runtime()?, DEFAULT_NAMESPACE, globals)))
                }
                None => Ok(None),
            },
            Target::Cluster => Self::in_cluster(runtime()?, globals).map(Some),
        }
    }

    fn in_cluster(runtime: Runtime, globals: &Globals) -> Result<Self> {
        // The client's own tasks belong to the runtime in which it is made.
        let cluster = runtime.block_on(async { Cluster::find(globals) })?;
        let namespace = cluster.namespace().to_owned();
        Ok(Self::with(Reach::Cluster(Box::new(InCluster::new(cluster))), runtime, &namespace, globals))
    }

    fn with(reach: Reach, runtime: Runtime, namespace: &str, globals: &Globals) -> Self {
        Self {
            reach,
            runtime,
            system: globals.istio_namespace.clone(),
            namespace: globals.said_namespace().unwrap_or(namespace).to_owned(),
            said: globals.said_namespace().is_some(),
            revision: None,
            pilots: Vec::new(),
            admin: ADMIN,
        }
    }

    /// The same with another admin port of proxies.
    #[must_use]
    pub fn admin_port(self, admin: u16) -> Self {
        Self { admin, ..self }
    }

    /// The same, with only this revision of the control plane.
    #[must_use]
    pub fn revision(self, revision: Option<&str>) -> Self {
        Self { revision: revision.filter(|name| !name.is_empty()).map(str::to_owned), ..self }
    }

    /// The same, with pods of these labels as its pilots.
    #[must_use]
    pub fn pilots_with(self, labels: Vec<(String, String)>) -> Self {
        Self { pilots: labels, ..self }
    }

    /// Where it is, in words.
    pub fn place(&self) -> String {
        self.reach.place()
    }

    /// Whether it is in a cluster, where pods may be without a proxy and webhooks decide.
    pub fn is_cluster(&self) -> bool {
        matches!(self.reach, Reach::Cluster(_))
    }

    /// The namespace that is meant: said, or the context's, or `default`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace of the control plane.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Waits for a future; it may use `dial`, `page_of` and the runtime's sockets and timers.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// All objects of these kinds, as an API server would show them, kind by kind.
    ///
    /// # Errors
    /// The mesh does not answer, or refuses.
    pub fn objects(&self, kinds: &[Kind], namespace: Option<&str>) -> Result<Vec<Value>> {
        let whats: Vec<What> = kinds.iter().map(|kind| What::Kind(*kind)).collect();
        let lists = self.lists(&whats, namespace);
        lists.into_iter().try_fold(Vec::new(), |mut all, list| {
            all.extend(list?);
            Ok(all)
        })
    }

    /// The objects of each kind, or why they cannot be had.
    pub fn lists(&self, whats: &[What], namespace: Option<&str>) -> Vec<Result<Vec<Value>>> {
        self.wait(self.lists_of(whats, namespace))
    }

    /// The same as a future.
    pub async fn lists_of(&self, whats: &[What], namespace: Option<&str>) -> Vec<Result<Vec<Value>>> {
        let asks = whats.iter().map(|what| self.reach.objects(*what, namespace));
        futures_util::stream::iter(asks).buffered(AT_ONCE).collect().await
    }

    /// Every pod, or those of a namespace.
    ///
    /// # Errors
    /// The mesh does not answer, or refuses.
    pub fn pods(&self, namespace: Option<&str>) -> Result<Vec<Pod>> {
        Ok(self.objects(&[Kind::Pod], namespace)?.iter().map(Pod::read).collect())
    }

    /// The pod that the user means.
    ///
    /// # Errors
    /// There is none of this name; the error lists others.
    pub fn pod(&self, text: &str) -> Result<Pod> {
        self.choose(text, Pods::clone).map(|(pod, _)| pod)
    }

    /// The pod that the user means, looked for in a namespace first unless `-n` says another.
    ///
    /// # Errors
    /// As above.
    pub fn pod_in(&self, text: &str, namespace: &str) -> Result<Pod> {
        let namespace = if self.said { self.namespace.as_str() } else { namespace };
        self.choose_in(text, namespace, Pods::clone).map(|(pod, _)| pod)
    }

    /// The pod that the user means, which must have a proxy.
    ///
    /// # Errors
    /// There is none of this name (the error lists others), or it has no proxy.
    pub fn proxy(&self, text: &str) -> Result<Pod> {
        self.meshed(text).map(|(pod, _)| pod)
    }

    /// The pods with proxies that the user means: all of a workload or Service.
    ///
    /// # Errors
    /// As above.
    pub fn proxies(&self, text: &str) -> Result<Vec<Pod>> {
        let (pod, known) = self.meshed(text)?;
        Ok(known.beside(&text.parse().map_err(anyhow::Error::msg)?, &pod))
    }

    /// The pods with proxies that have these labels.
    ///
    /// # Errors
    /// The mesh does not answer, or there are none.
    pub fn proxies_with(&self, labels: &[(String, String)]) -> Result<Vec<Pod>> {
        let mut pods = self.pods(Some(&self.namespace))?;
        pods.retain(|pod| pod.meshed && pod.has(labels));
        if pods.is_empty() {
            bail!("no pod with a proxy in namespace {} has these labels", self.namespace);
        }
        Ok(pods)
    }

    fn meshed(&self, text: &str) -> Result<(Pod, Pods)> {
        self.choose(text, Pods::meshed).or_else(|error| match self.pod(text) {
            Ok(pod) => bail!("pod {} has no proxy beside it", pod.full()),
            Err(_) => Err(error),
        })
    }

    /// The pod, and the pods among which it was found.
    fn choose(&self, text: &str, narrow: impl Fn(&Pods) -> Pods) -> Result<(Pod, Pods)> {
        self.choose_in(text, &self.namespace, narrow)
    }

    fn choose_in(&self, text: &str, own: &str, narrow: impl Fn(&Pods) -> Pods) -> Result<(Pod, Pods)> {
        let wanted: PodName = text.parse().map_err(anyhow::Error::msg)?;
        // First where it may be looked for by somebody who sees these namespaces only.
        let mut namespaces = vec![own];
        namespaces.extend(wanted.name.rsplit_once('.').map(|(_, namespace)| namespace));
        let mut known = Vec::new();
        for namespace in namespaces {
            known.extend(self.objects(&[Kind::Pod, Kind::Service], Some(namespace))?);
        }
        let choose = |objects: &[Value]| {
            let pods = narrow(&Pods::read(objects));
            pods.choose(&wanted, own, self.said).map(|pod| (pod, pods))
        };
        let found = choose(&known);
        if found.is_ok() {
            return found;
        }
        if self.said {
            return self.namespace_is_there().and(found);
        }
        match self.objects(&[Kind::Pod, Kind::Service], None) {
            Ok(all) => choose(&all),
            Err(_) => found,
        }
    }

    /// That the cluster has the namespace of `-n`; who may not ask is believed.
    ///
    /// # Errors
    /// There is no such namespace; the error lists others.
    pub fn namespace_is_there(&self) -> Result<()> {
        if !self.said || !self.is_cluster() {
            return Ok(());
        }
        let Ok(all) = self.objects(&[Kind::Namespace], None) else { return Ok(()) };
        let names: Vec<&str> = all.iter().filter_map(|one| one["metadata"]["name"].as_str()).collect();
        if names.contains(&self.namespace.as_str()) {
            return Ok(());
        }
        bail!("there is no namespace {} in {}; there are {}", self.namespace, self.place(), names.join(", "))
    }

    /// A page of a proxy's admin port.
    ///
    /// # Errors
    /// The proxy does not answer, or refuses.
    pub fn admin(&self, pod: &Pod, method: Method, path: &str) -> Result<String> {
        let page = self.page(pod, self.admin, Asked { method, path, body: "" });
        page.with_context(|| format!("the proxy of {}", pod.full()))
    }

    /// A page of the first pilot that answers with one: what only one of several knows is asked for this way, too.
    ///
    /// # Errors
    /// There is no pilot, or none has the page; the error is the first one's.
    pub fn pilot(&self, path: &str) -> Result<String> {
        let mut failed = None;
        for pod in self.pilots()? {
            match self.pilot_of(&pod, path) {
                Ok(page) => return Ok(page),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.context("no pilot answers")?)
    }

    /// A page of every pilot, with the pod that gave it. One that does not answer is told, and left out.
    ///
    /// # Errors
    /// There is no pilot, or none answers.
    pub fn pilots_page(&self, path: &str) -> Result<Vec<(Pod, String)>> {
        let mut failed = None;
        let mut pages = Vec::new();
        for pod in self.pilots()? {
            match self.pilot_of(&pod, path) {
                Ok(page) => pages.push((pod, page)),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if pages.is_empty() => Err(error),
            Some(error) => {
                anstream::eprintln!("Warning: {error:#}");
                Ok(pages)
            }
            None => Ok(pages),
        }
    }

    fn pilot_of(&self, pod: &Pod, path: &str) -> Result<String> {
        let page = self.page(pod, DEBUG, Asked { method: Method::Get, path, body: "" });
        page.with_context(|| format!("pilot ({})", pod.full()))
    }

    /// The pods of the control plane, ready ones first, those that are being ended left out unless there are no others.
    ///
    /// # Errors
    /// There is none.
    pub fn pilots(&self) -> Result<Vec<Pod>> {
        let mut pods = self.pods(Some(&self.system))?;
        let meant = |pod: &Pod| match self.pilots.as_slice() {
            [] => pod.is_pilot(),
            labels => pod.has(labels),
        };
        pods.retain(|pod| meant(pod) && self.revision.as_deref().is_none_or(|name| pod.revision() == name));
        if pods.iter().any(|pod| !pod.ending) {
            pods.retain(|pod| !pod.ending);
        }
        if pods.iter().any(|pod| pod.ready) {
            pods.retain(|pod| pod.ready);
        }
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        if pods.is_empty() {
            let revision =
                self.revision.as_ref().map(|name| format!(" of revision {name}")).unwrap_or_default();
            let look = if self.is_cluster() { "kubectl" } else { "meshctl" };
            bail!(NoPilot(format!(
                "no istiod{revision} runs in namespace {} of {}; look at `{look} get pods -A`, or say --istioNamespace",
                self.system,
                self.place()
            )));
        }
        Ok(pods)
    }

    /// A page of any port of a pod.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub fn page(&self, pod: &Pod, port: u16, asked: Asked<'_>) -> Result<String> {
        self.wait(self.page_of(pod, port, asked))
    }

    /// The same as a future, for those who ask many.
    ///
    /// # Errors
    /// As above.
    pub async fn page_of(&self, pod: &Pod, port: u16, asked: Asked<'_>) -> Result<String> {
        http::ask(self.dial(pod, port).await?, asked).await
    }

    /// A connection to a port of a pod.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn dial(&self, pod: &Pod, port: u16) -> Result<Connection> {
        self.reach.dial(pod, port).await
    }

    /// What a container has printed.
    ///
    /// # Errors
    /// There is no such container, or it cannot be read.
    pub async fn logs(&self, pod: &Pod, lines: &Lines) -> Result<String> {
        self.reach.logs(pod, lines).await
    }
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// The pod of a laptop mesh that the user means; `None`: nobody said a namespace.
///
/// # Errors
/// There is none of this name; the error lists others.
pub fn find_pod(client: &mut Client, text: &str, namespace: Option<&str>) -> Result<Pod> {
    let which = Which { kinds: vec!["pods,services".to_owned()], ..Which::default() };
    let objects = client.value(&Ask::Get(which))?;
    let pods = Pods::read(objects.as_array().map_or(&[], Vec::as_slice));
    let wanted = text.parse().map_err(anyhow::Error::msg)?;
    pods.choose(&wanted, namespace.unwrap_or(DEFAULT_NAMESPACE), namespace.is_some())
}
