//! The one door to a running mesh, on this machine or in a cluster: objects, connections into pods, logs.
//!
//! In: kinds, pods and ports. Out: objects as an API server shows them, byte streams to `127.0.0.1:PORT` of a pod, lines.
//! `mesh.rs` asks; the two sides are `laptop.rs` (the control socket) and `cluster.rs` (the API server). No command knows
//! which one it is.

use anyhow::Result;
use api::Kind;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::cluster::InCluster;
use super::laptop::OnLaptop;
use super::pod::Pod;

/// Bytes both ways.
pub trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection to a port inside a pod.
pub struct Connection {
    pub stream: Box<dyn Bytes>,
    /// Ends with why the other side gave up, or with nothing; where that is known only after the first bytes.
    pub problem: BoxFuture<'static, Option<String>>,
}

/// Which lines of a container are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    pub container: String,
    /// Of the run before the last restart.
    pub previous: bool,
    /// Not older than so many seconds.
    pub since: Option<u64>,
    /// So many of the last ones.
    pub tail: Option<u64>,
    /// At most about so many bytes.
    pub bytes: Option<u64>,
}

/// What can be listed: a kind that `api` reads, or another one of an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Kind(Kind),
    /// Group, version, plural and kind.
    Other(&'static str, &'static str, &'static str, &'static str),
}

impl What {
    /// Webhooks that change objects: the injectors.
    pub const MUTATING: What = What::Other(
        "admissionregistration.k8s.io",
        "v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
    );
    /// Webhooks that refuse objects.
    pub const VALIDATING: What = What::Other(
        "admissionregistration.k8s.io",
        "v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
    );
    /// Definitions of kinds.
    pub const DEFINITIONS: What =
        What::Other("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition");

    /// `virtualservices`.
    pub fn plural(&self) -> &'static str {
        match self {
            What::Kind(kind) => kind.row().plural,
            What::Other(_, _, plural, _) => plural,
        }
    }

    /// `VirtualService`.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Kind(kind) => kind.name(),
            What::Other(_, _, _, kind) => kind,
        }
    }
}

/// Where the mesh is.
pub(super) enum Reach {
    Laptop(OnLaptop),
    Cluster(Box<InCluster>),
}

impl Reach {
    /// All objects of a kind; none where the kind is not served.
    pub(super) async fn objects(&self, what: What, namespace: Option<&str>) -> Result<Vec<Value>> {
        match self {
            Reach::Laptop(laptop) => laptop.objects(what, namespace),
            Reach::Cluster(cluster) => cluster.objects(what, namespace).await,
        }
    }

    /// A connection to `127.0.0.1:port` inside a pod.
    pub(super) async fn dial(&self, pod: &Pod, port: u16) -> Result<Connection> {
        match self {
            Reach::Laptop(laptop) => laptop.dial(pod, port),
            Reach::Cluster(cluster) => cluster.dial(pod, port).await,
        }
    }

    /// What a container has printed.
    pub(super) async fn logs(&self, pod: &Pod, lines: &Lines) -> Result<String> {
        match self {
            Reach::Laptop(laptop) => laptop.logs(pod, lines),
            Reach::Cluster(cluster) => cluster.logs(pod, lines).await,
        }
    }

    /// The place in words: `mesh default on this machine`.
    pub(super) fn place(&self) -> String {
        match self {
            Reach::Laptop(laptop) => laptop.place(),
            Reach::Cluster(cluster) => cluster.place(),
        }
    }
}
