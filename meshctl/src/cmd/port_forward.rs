//! `meshctl port-forward`: ports of this machine that lead to ports inside a pod.
//!
//! In: a pod, a workload or a Service, and ports. Out: a listener on 127.0.0.1 for each, until Ctrl-C. A connection is
//! made inside the pod, to its own 127.0.0.1, so the mesh does not see it: admin pages and applications alike.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use super::printed::BadUsage;
use crate::cli::Global;
use crate::client::{Pod, find_pod};
use crate::local::client::Client;
use crate::local::protocol::{Ask, Which};

/// Reach ports of a pod on this machine
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshctl port-forward deploy/productpage-v1 15000       the admin pages of its proxy\n  \
    meshctl port-forward svc/productpage 9081:9080")]
pub struct PortForward {
    /// POD, deploy/NAME or svc/NAME
    #[arg(value_name = "POD|KIND/NAME")]
    target: String,
    /// LOCAL:REMOTE, or one number for both; :REMOTE takes any free local port
    #[arg(required = true, value_name = "[LOCAL:]REMOTE")]
    ports: Vec<String>,
    /// The address of this machine to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    address: String,
}

impl PortForward {
    /// Listens until Ctrl-C.
    pub fn run(self, global: &Global) -> Result<i32> {
        let mut client = Client::connect(&global.mesh)?;
        let pod = find_pod(&mut client, &self.target, global.namespace.as_deref())?;
        let service = service(&mut client, &self.target, &pod)?;
        let address = if self.address == "localhost" { "127.0.0.1" } else { &self.address };
        let mut threads = Vec::new();
        for word in &self.ports {
            let (local, remote) = pair(word)?;
            let remote = inside(&mut client, service.as_ref(), &pod, &remote)?;
            let local = local.unwrap_or(remote);
            let listener = TcpListener::bind((address, local)).with_context(|| {
                format!("listen on port {local} of {address}; choose another with OTHER:{remote}")
            })?;
            anstream::println!("Forwarding from {} -> {remote}", listener.local_addr()?);
            let (mesh, pod) = (global.mesh.clone(), pod.clone());
            threads.push(thread::spawn(move || serve(&listener, &mesh, &pod, remote)));
        }
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))?;
        Ok(0)
    }
}

/// The local port, if one is said, and the word for the remote one.
fn pair(word: &str) -> Result<(Option<u16>, String)> {
    let wrong = || BadUsage(format!("{word:?} is not [LOCAL:]REMOTE, such as 9080 or 9081:9080"));
    let (local, remote) = match word.split_once(':') {
        None => (None, word),
        Some(("", remote)) => (Some(0), remote),
        Some((local, remote)) => (Some(local.parse().map_err(|_| wrong())?), remote),
    };
    if remote.is_empty() {
        bail!(wrong());
    }
    Ok((local, remote.to_owned()))
}

/// The Service that is named, if it is one.
fn service(client: &mut Client, target: &str, pod: &Pod) -> Result<Option<Value>> {
    let Some((word, name)) = target.split_once('/') else { return Ok(None) };
    if api::Kind::from_word(word) != Some(api::Kind::Service) {
        return Ok(None);
    }
    let name = name.strip_suffix(&format!(".{}", pod.namespace)).unwrap_or(name);
    object(client, "service", &pod.namespace, name).map(Some)
}

fn object(client: &mut Client, kind: &str, namespace: &str, name: &str) -> Result<Value> {
    let which = Which {
        kinds: vec![format!("{kind}/{name}")],
        namespace: Some(namespace.to_owned()),
        ..Which::default()
    };
    let found = client.value(&Ask::Get(which))?;
    found.get(0).cloned().with_context(|| format!("there is no {kind} {name} in namespace {namespace}"))
}

/// The number of the pod's port: of a Service its target, of a name the container's port of that name.
fn inside(client: &mut Client, service: Option<&Value>, pod: &Pod, word: &str) -> Result<u16> {
    let number = word.parse::<u64>().ok();
    let is_it = |port: &&Value| port["name"] == word || (number.is_some() && port["port"].as_u64() == number);
    let mut wanted = word.to_owned();
    if let Some(service) = service {
        let ports = service["spec"]["ports"].as_array();
        let port = ports.into_iter().flatten().find(is_it);
        let port = port.with_context(|| format!("the Service has no port {word}"))?;
        let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
        wanted = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
    }
    if let Ok(number) = wanted.parse() {
        return Ok(number);
    }
    let pod = object(client, "pod", &pod.namespace, &pod.name)?;
    let containers = pod["spec"]["containers"].as_array();
    let mut ports =
        containers.into_iter().flatten().flat_map(|one| one["ports"].as_array().into_iter().flatten());
    let port = ports.find(|port| port["name"] == wanted.as_str());
    let number =
        port.and_then(|port| port["containerPort"].as_u64()).and_then(|port| u16::try_from(port).ok());
    number.with_context(|| format!("the pod has no port {wanted:?}"))
}

fn serve(listener: &TcpListener, mesh: &str, pod: &Pod, port: u16) -> Result<()> {
    for outside in listener.incoming() {
        let outside = outside?;
        // A mesh that has ended ends this, too.
        let mut client = Client::connect(mesh)?;
        match client.dial(&pod.namespace, &pod.name, port) {
            Ok(inside) => drop(thread::spawn(move || relay(outside, inside))),
            Err(error) => anstream::eprintln!("Error: {error:#}"),
        }
    }
    Ok(())
}

/// Copies both ways until both have ended.
fn relay(outside: TcpStream, inside: TcpStream) -> io::Result<()> {
    let (mut from, mut to) = (outside.try_clone()?, inside.try_clone()?);
    let there = thread::spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write)
    });
    let (mut from, mut to) = (inside, outside);
    io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write)?;
    there.join().unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        assert_eq!(pair("9080").unwrap(), (None, "9080".into()));
        assert_eq!(pair("1:http").unwrap(), (Some(1), "http".into()));
        assert_eq!(pair(":80").unwrap(), (Some(0), "80".into()));
        assert!(pair("x:80").unwrap_err().to_string().contains("LOCAL"));
        assert!(pair("80:").is_err());
    }
}
