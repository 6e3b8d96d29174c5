//! Who we are and who the others are, in the words of the metrics.
//!
//! In: our own node; peer metadata from headers, frames and endpoints. Out: [`Peer`] values, shared through a cache
//! by what was received, so that a mesh peer costs one decode per worker. The wire format is `wire::peer`'s.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::Peer;
use super::recent::Recent;
use crate::worker;

/// Peers remembered by one worker; at this many it starts anew.
const LIMIT: usize = 4096;

/// This proxy, as telemetry names it.
#[derive(Debug, Default)]
pub struct Own {
    pub peer: Arc<Peer>,
    /// Node id: tag `node_id` of spans.
    pub node_id: Arc<str>,
    /// `node.cluster`: the service name of spans.
    pub service: Arc<str>,
    pub mesh_id: Arc<str>,
    pub version: Arc<str>,
    /// Not beside a workload.
    pub gateway: bool,
}

impl Own {
    /// From the node.
    pub fn of(node: &wire::Node) -> Self {
        let said = wire::peer::Peer::of(&node.id.to_string(), &node.metadata);
        Own {
            peer: Arc::new(from_wire(&said)),
            node_id: node.id.to_string().into(),
            service: node.cluster.as_str().into(),
            mesh_id: node.metadata.mesh_id.as_str().into(),
            version: node.metadata.istio_version.as_str().into(),
            gateway: node.id.role != wire::node::Role::Sidecar,
        }
    }
}

/// What the data path sends to peers.
pub fn introduction(node: &wire::Node) -> worker::Node {
    let said = wire::peer::Peer::of(&node.id.to_string(), &node.metadata);
    let header = |text: String| HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
    worker::Node {
        peer_id: header(said.id.clone()),
        peer_metadata: header(said.to_header()),
        peer_frame: Bytes::from(said.to_frame()),
    }
}

fn from_wire(said: &wire::peer::Peer) -> Peer {
    let label = |key: &str| said.labels.get(key).map(String::as_str).unwrap_or_default().into();
    Peer {
        workload: said.workload.as_str().into(),
        namespace: said.namespace.as_str().into(),
        canonical_name: said.canonical_name().into(),
        canonical_revision: said.canonical_revision().into(),
        app: label("app"),
        version: label("version"),
        cluster: said.cluster.as_str().into(),
        principal: "".into(),
    }
}

/// `NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER`, as endpoints carry it.
fn from_endpoint(text: &str) -> Peer {
    let mut parts = text.split(';').map(Arc::<str>::from);
    let mut next = || parts.next().unwrap_or_default();
    let (workload, namespace, canonical_name, canonical_revision, cluster) =
        (next(), next(), next(), next(), next());
    Peer { workload, namespace, canonical_name, canonical_revision, cluster, ..Peer::default() }
}

/// The metadata that came with an id, and what it says.
type Heard = (Box<[u8]>, Arc<Peer>);

/// What one worker has heard.
#[derive(Debug)]
pub struct Peers {
    /// By id header (or the frame's bytes); with the metadata that came, which may change under one id.
    by_id: RefCell<Recent<Box<[u8]>, Heard>>,
    by_endpoint: RefCell<Recent<Arc<str>, Arc<Peer>>>,
}

impl Default for Peers {
    fn default() -> Self {
        Peers { by_id: RefCell::new(Recent::new(LIMIT)), by_endpoint: RefCell::new(Recent::new(LIMIT)) }
    }
}

impl Peers {
    /// From the two headers.
    pub fn headers(&self, id: &[u8], metadata: &[u8]) -> Option<Arc<Peer>> {
        self.cached(id, metadata, || {
            let id = std::str::from_utf8(id).ok()?;
            wire::peer::Peer::from_header(id, std::str::from_utf8(metadata).ok()?).ok()
        })
    }

    /// From the body of a frame.
    pub fn frame(&self, body: &[u8]) -> Option<Arc<Peer>> {
        self.cached(body, b"", || wire::peer::Peer::from_frame(body).ok())
    }

    /// From an endpoint's metadata.
    pub fn endpoint(&self, text: &Arc<str>) -> Arc<Peer> {
        let mut cache = self.by_endpoint.borrow_mut();
        if let Some(known) = cache.get(text) {
            return known.clone();
        }
        cache.get_or(text.clone(), || Arc::new(from_endpoint(text))).clone()
    }

    fn cached(
        &self,
        id: &[u8],
        metadata: &[u8],
        decode: impl FnOnce() -> Option<wire::peer::Peer>,
    ) -> Option<Arc<Peer>> {
        let mut cache = self.by_id.borrow_mut();
        if let Some((said, peer)) = cache.get(id)
            && **said == *metadata
        {
            return Some(peer.clone());
        }
        let peer = Arc::new(from_wire(&decode()?));
        cache.put(id.into(), (metadata.into(), peer.clone()));
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_frames_and_endpoints() {
        let mut node = wire::Node::new(
            "sidecar~10.0.0.1~reviews-v1-x.default~default.svc.cluster.local".parse().unwrap(),
        );
        node.metadata.workload_name = "reviews-v1".into();
        node.metadata.namespace = "default".into();
        node.metadata.cluster_id = "Kubernetes".into();
        node.metadata.labels.insert("app".into(), "reviews".into());
        node.metadata.labels.insert("version".into(), "v1".into());
        let sent = introduction(&node);
        let peers = Peers::default();
        let first = peers.headers(sent.peer_id.as_bytes(), sent.peer_metadata.as_bytes()).unwrap();
        assert_eq!(first, Own::of(&node).peer);
        assert_eq!(
            (&*first.workload, &*first.app, &*first.canonical_revision),
            ("reviews-v1", "reviews", "v1")
        );
        let again = peers.headers(sent.peer_id.as_bytes(), sent.peer_metadata.as_bytes()).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(peers.frame(&sent.peer_frame[wire::peer::FRAME_HEADER..]).unwrap(), first);
        assert_eq!(peers.headers(b"x", b"%%%"), None);
        let endpoint = peers.endpoint(&"reviews-v1;default;reviews;v1;Kubernetes".into());
        assert_eq!(
            (&*endpoint.canonical_name, &*endpoint.cluster, &*endpoint.app),
            ("reviews", "Kubernetes", "")
        );
    }
}
