//! The running mesh that a command talks to.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use serde_json::Value;

use super::http::{self, Method};
use super::pod::{Pod, Pods};
use crate::globals::Globals;
use crate::local::client::Client;
use crate::local::protocol::{Ask, Which};

/// Admin port of every proxy.
const ADMIN: u16 = 15000;
/// Debug port of pilot; free for those inside its pod.
const DEBUG: u16 = 8080;

/// A running mesh.
pub struct Mesh {
    name: String,
    system: String,
    namespace: Option<String>,
    admin: u16,
}

impl Mesh {
    /// Finds the mesh that is meant, and says on a terminal which one it is.
    ///
    /// # Errors
    /// A cluster is meant, or no mesh of this name runs here; the error says what to do.
    pub fn find(globals: &Globals) -> Result<Self> {
        let name = globals.mesh()?;
        Client::connect(&name)?;
        if std::io::stdout().is_terminal() {
            anstream::eprintln!("mesh {name} on this machine");
        }
        Ok(Self::named(&name, globals))
    }

    /// The mesh that is meant, if one runs; a cluster that is meant is an error as above.
    ///
    /// # Errors
    /// A cluster is meant, or the socket cannot be used.
    pub fn find_if_running(globals: &Globals) -> Result<Option<Self>> {
        let name = globals.mesh()?;
        Ok(Client::try_connect(&name)?.map(|_| Self::named(&name, globals)))
    }

    fn named(name: &str, globals: &Globals) -> Self {
        Self {
            name: name.to_owned(),
            system: globals.istio_namespace.clone(),
            namespace: globals.said_namespace().map(str::to_owned),
            admin: ADMIN,
        }
    }

    /// The same with another admin port of proxies.
    #[must_use]
    pub fn admin_port(self, admin: u16) -> Self {
        Self { admin, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All objects of these kinds, as an API server would show them.
    ///
    /// # Errors
    /// The mesh does not answer.
    pub fn objects(&self, kinds: &[String], namespace: Option<&str>) -> Result<Vec<Value>> {
        let which =
            Which { kinds: kinds.to_vec(), namespace: namespace.map(str::to_owned), ..Which::default() };
        match Client::connect(&self.name)?.value(&Ask::Get(which))? {
            Value::Array(list) => Ok(list),
            other => anyhow::bail!("the mesh answers with something else than a list: {other}"),
        }
    }

    /// Every pod.
    ///
    /// # Errors
    /// The mesh does not answer.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        Ok(self.objects(&["pods".to_owned()], None)?.iter().map(Pod::read).collect())
    }

    /// The pod that the user means, which must have a proxy.
    ///
    /// # Errors
    /// There is none of this name (the error lists others), or it has no proxy.
    pub fn proxy(&self, text: &str) -> Result<Pod> {
        let wanted = text.parse().map_err(anyhow::Error::msg)?;
        let namespace = self.namespace.as_deref();
        let all = known(&mut Client::connect(&self.name)?)?;
        all.meshed().choose(&wanted, namespace).or_else(|error| match all.choose(&wanted, namespace) {
            Ok(pod) => anyhow::bail!("pod {} has no proxy beside it", pod.full()),
            Err(_) => Err(error),
        })
    }

    /// A page of a proxy's admin port.
    ///
    /// # Errors
    /// The proxy does not answer, or refuses.
    pub fn admin(&self, pod: &Pod, method: Method, path: &str) -> Result<String> {
        self.page(pod, self.admin, method, path).with_context(|| format!("the proxy of {}", pod.full()))
    }

    /// A page of pilot's debug port.
    ///
    /// # Errors
    /// There is no pilot, or it does not answer.
    pub fn pilot(&self, path: &str) -> Result<String> {
        let pod = self.pilot_pod()?;
        self.page(&pod, DEBUG, Method::Get, path).with_context(|| format!("pilot ({})", pod.full()))
    }

    /// The pod of the control plane.
    ///
    /// # Errors
    /// There is none.
    pub fn pilot_pod(&self) -> Result<Pod> {
        let mut pods = self.pods()?;
        let is_pilot =
            |pod: &Pod| pod.namespace == self.system && pod.labels.get("app").is_some_and(|a| a == "istiod");
        pods.retain(is_pilot);
        pods.sort_by_key(|pod| !pod.ready);
        pods.into_iter().next().with_context(|| {
            format!(
                "no istiod runs in namespace {} of mesh {}; look at `meshctl get pods -A`",
                self.system, self.name
            )
        })
    }

    fn page(&self, pod: &Pod, port: u16, method: Method, path: &str) -> Result<String> {
        let stream = Client::connect(&self.name)?.dial(&pod.namespace, &pod.name, port)?;
        http::ask(stream, method, path)
    }
}

/// Every pod, and the Services that may stand for them.
fn known(client: &mut Client) -> Result<Pods> {
    let which = Which { kinds: vec!["pods,services".to_owned()], ..Which::default() };
    let objects = client.value(&Ask::Get(which))?;
    Ok(Pods::read(objects.as_array().map_or(&[], Vec::as_slice)))
}

/// The pod that the user means; `None`: nobody said a namespace.
///
/// # Errors
/// There is none of this name; the error lists others.
pub fn find_pod(client: &mut Client, text: &str, namespace: Option<&str>) -> Result<Pod> {
    known(client)?.choose(&text.parse().map_err(anyhow::Error::msg)?, namespace)
}
