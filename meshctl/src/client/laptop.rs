//! A mesh on this machine, through its control socket.
//!
//! In: kinds, pods, ports. Out: objects, connections that the mesh makes inside the pod and hands over, lines. Called
//! through `reach`. Each question is a connection of its own; answers come at once, so nothing here waits.

use anyhow::Result;
use futures_util::FutureExt;
use serde_json::Value;

use super::pod::Pod;
use super::reach::{Connection, Lines, What};
use crate::local::client::Client;
use crate::local::protocol::{Ask, LogWish, Which};

/// A laptop mesh.
pub(super) struct OnLaptop {
    mesh: String,
}

impl OnLaptop {
    /// The mesh of this name, which must run.
    pub(super) fn find(mesh: &str) -> Result<Self> {
        Client::connect(mesh)?;
        Ok(Self { mesh: mesh.to_owned() })
    }

    /// The mesh of this name, if it runs.
    pub(super) fn find_if_running(mesh: &str) -> Result<Option<Self>> {
        Ok(Client::try_connect(mesh)?.map(|_| Self { mesh: mesh.to_owned() }))
    }

    pub(super) fn place(&self) -> String {
        format!("mesh {} on this machine", self.mesh)
    }

    pub(super) fn objects(&self, what: What, namespace: Option<&str>) -> Result<Vec<Value>> {
        // Only an API server has others.
        let What::Kind(kind) = what else { return Ok(Vec::new()) };
        let row = kind.row();
        let word = match row.group {
            "" => row.plural.to_owned(),
            group => format!("{}.{group}", row.plural),
        };
        let which = Which { kinds: vec![word], namespace: namespace.map(str::to_owned), ..Which::default() };
        match Client::connect(&self.mesh)?.value(&Ask::Get(which))? {
            Value::Array(list) => Ok(list),
            other => anyhow::bail!("the mesh answers with something else than a list: {other}"),
        }
    }

    pub(super) fn dial(&self, pod: &Pod, port: u16) -> Result<Connection> {
        let stream = Client::connect(&self.mesh)?.dial(&pod.namespace, &pod.name, port)?;
        stream.set_nonblocking(true)?;
        let stream = Box::new(tokio::net::TcpStream::from_std(stream)?);
        Ok(Connection { stream, problem: futures_util::future::ready(None).boxed() })
    }

    pub(super) fn logs(&self, pod: &Pod, lines: &Lines) -> Result<String> {
        // The log goes on over restarts: there is no other one of the run before.
        if lines.previous {
            return Ok(String::new());
        }
        let ask = Ask::Logs(LogWish {
            pods: vec![(pod.namespace.clone(), pod.name.clone())],
            container: Some(lines.container.clone()),
            tail: lines.tail.and_then(|tail| usize::try_from(tail).ok()),
            since: lines.since,
            ..LogWish::default()
        });
        let text = Client::connect(&self.mesh)?.lines(&ask)?;
        let most = lines.bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        // The last lines tell more than the first ones.
        let from = text.len().saturating_sub(most);
        let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(from);
        Ok(text.get(from..).unwrap_or_default().to_owned())
    }
}
