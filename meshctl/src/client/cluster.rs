//! A mesh in a cluster, through the API server: lists, port-forwards and logs of pods.
//!
//! In: kinds, pods, ports. Out: objects, byte streams to a port on the pod's own 127.0.0.1 (a websocket, as `kubectl
//! port-forward` has it), lines. Called through `reach`. How the cluster is found is `kube.rs`.

use anyhow::{Context, Result, anyhow};
use futures_util::FutureExt;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::Api;
use kube::api::LogParams;
use serde_json::Value;

use super::kube::Cluster;
use super::pod::Pod;
use super::reach::{Connection, Lines, What};

/// Objects per answer of the API server.
const PAGE: usize = 500;

/// A cluster.
pub(super) struct InCluster {
    cluster: Cluster,
}

impl InCluster {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    pub(super) fn place(&self) -> String {
        format!("cluster {}", self.cluster.place())
    }

    pub(super) async fn objects(&self, what: What, namespace: Option<&str>) -> Result<Vec<Value>> {
        let (group, versions, plural, kind) = match &what {
            What::Kind(kind) => {
                let row = kind.row();
                (row.group, row.versions, row.plural, row.name)
            }
            What::Other(group, version, plural, kind) => {
                (*group, std::slice::from_ref(version), *plural, *kind)
            }
        };
        let namespaced = !matches!(what, What::Kind(kind) if !kind.is_namespaced());
        let within = namespace.filter(|_| namespaced);
        for version in versions {
            let root =
                if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let place = within.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
            match self.list(&format!("{root}{place}/{plural}")).await {
                Ok(mut list) => {
                    let api_version =
                        if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") };
                    // Entries of a list do not say what they are.
                    for object in &mut list {
                        object["apiVersion"] = api_version.as_str().into();
                        object["kind"] = kind.into();
                    }
                    return Ok(list);
                }
                // A version or a kind that this cluster does not have.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(self.cluster.explain(&format!("list {plural}"), error)),
            }
        }
        Ok(Vec::new())
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>, kube::Error> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let uri = match next.as_str() {
                "" => format!("{path}?limit={PAGE}"),
                token => format!("{path}?limit={PAGE}&continue={token}"),
            };
            let request = http::Request::get(uri).body(Vec::new()).map_err(kube::Error::HttpError)?;
            let mut answer: Value = self.cluster.client().request(request).await?;
            if let Value::Array(items) = answer["items"].take() {
                all.extend(items);
            }
            match answer["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => token.clone_into(&mut next),
                _ => return Ok(all),
            }
        }
    }

    fn pods(&self, namespace: &str) -> Api<KubePod> {
        Api::namespaced(self.cluster.client().clone(), namespace)
    }

    pub(super) async fn dial(&self, pod: &Pod, port: u16) -> Result<Connection> {
        let opened = self.pods(&pod.namespace).portforward(&pod.name, &[port]).await;
        let mut opened = opened.map_err(|error| self.refused(pod, port, error))?;
        let gone = || anyhow!("the API server opened another port than {port}");
        let stream = opened.take_stream(port).with_context(gone)?;
        let problem = opened.take_error(port).with_context(gone)?;
        Ok(Connection { stream: Box::new(stream), problem: problem.boxed() })
    }

    fn refused(&self, pod: &Pod, port: u16, error: kube::Error) -> anyhow::Error {
        let doing = format!("open port {port} of pod {}", pod.full());
        match error {
            // The answer to a refused upgrade has a status and nothing else.
            kube::Error::UpgradeConnection(kube::client::UpgradeConnectionError::ProtocolSwitch(status)) => {
                let why = match status.as_u16() {
                    403 => "you may not create pods/portforward there",
                    404 => "there is no such pod any more",
                    _ => "the API server does not open it; the pod may not be running",
                };
                anyhow!("cannot {doing}: {why} ({status})")
            }
            error => self.cluster.explain(&doing, error),
        }
    }

    pub(super) async fn logs(&self, pod: &Pod, lines: &Lines) -> Result<String> {
        let params = LogParams {
            container: Some(lines.container.clone()),
            previous: lines.previous,
            since_seconds: lines.since.and_then(|seconds| i64::try_from(seconds).ok()),
            tail_lines: lines.tail.and_then(|tail| i64::try_from(tail).ok()),
            limit_bytes: lines.bytes.and_then(|bytes| i64::try_from(bytes).ok()),
            ..LogParams::default()
        };
        let read = self.pods(&pod.namespace).logs(&pod.name, &params).await;
        read.map_err(|error| self.cluster.explain(&format!("read logs of pod {}", pod.full()), error))
    }
}
