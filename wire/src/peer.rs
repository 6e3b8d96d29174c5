//! Peer metadata: how two proxies tell each other whose traffic this is.
//!
//! In: a node's metadata. Out: Istio's two forms of it. HTTP: the header `x-envoy-peer-metadata`, a `Struct` in
//! base64, and `x-envoy-peer-metadata-id`. TCP (ALPN `istio-peer-exchange`): a frame before the first byte of data,
//! magic and length in network order, then an `Any` of a `Struct` with those two as fields. Format only; who asks
//! and who answers is decided in the proxy.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use envoy_types::pb::google::protobuf::value::Kind as V;
use envoy_types::pb::google::protobuf::{Any, Struct, Value};
use prost::Message;

use crate::node::Metadata;
use crate::structs;

/// Header with the metadata.
pub const HEADER: &str = "x-envoy-peer-metadata";
/// Header with the node id: a key for caches.
pub const HEADER_ID: &str = "x-envoy-peer-metadata-id";
/// ALPN protocol that announces the TCP frame.
pub const ALPN: &str = "istio-peer-exchange";
/// First four bytes of the TCP frame.
pub const MAGIC: u32 = 0x3D23_0467;
/// Magic and length.
pub const FRAME_HEADER: usize = 8;
/// Longer frames are refused: metadata is a few hundred bytes.
pub const MAX_FRAME: usize = 1 << 20;

const STRUCT_URL: &str = "type.googleapis.com/google.protobuf.Struct";
/// Labels that travel; the others stay at home.
const LABELS: [&str; 4] =
    ["app", "version", "service.istio.io/canonical-name", "service.istio.io/canonical-revision"];

/// What a peer says about itself. Empty text means unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Node id.
    pub id: String,
    /// `NAME`: the pod.
    pub name: String,
    /// `NAMESPACE`
    pub namespace: String,
    /// `WORKLOAD_NAME`
    pub workload: String,
    /// `OWNER`
    pub owner: String,
    /// `CLUSTER_ID`
    pub cluster: String,
    /// The travelling labels.
    pub labels: BTreeMap<String, String>,
}

/// Why a frame or header was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPeer {
    /// The header is not base64.
    #[error("peer metadata is not base64")]
    Base64,
    /// The bytes are no message of the expected type.
    #[error("peer metadata does not decode: {0}")]
    Decode(String),
    /// The frame does not begin with the magic number.
    #[error("no peer metadata frame")]
    Magic,
    /// The frame claims to be longer than [`MAX_FRAME`].
    #[error("peer metadata frame of {0} bytes is too long")]
    TooLong(usize),
}

impl Peer {
    /// What this node tells others. Canonical name and revision are always present, as Istio's injector makes them.
    pub fn of(id: &str, metadata: &Metadata) -> Self {
        let own =
            LABELS.iter().filter_map(|key| Some(((*key).to_owned(), metadata.labels.get(*key)?.clone())));
        let mut labels: BTreeMap<String, String> = own.collect();
        let mut fill = |key: &str, value: &str| {
            if !value.is_empty() {
                labels.entry(key.into()).or_insert_with(|| value.into());
            }
        };
        fill(LABELS[2], metadata.canonical_name());
        fill(LABELS[3], metadata.canonical_revision());
        Peer {
            id: id.into(),
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            workload: metadata.workload_name.clone(),
            owner: metadata.owner.clone(),
            cluster: metadata.cluster_id.clone(),
            labels,
        }
    }

    /// `service.istio.io/canonical-name`, else `app`, else the workload.
    pub fn canonical_name(&self) -> &str {
        let label = |key: &str| self.labels.get(key).map(String::as_str);
        label(LABELS[2]).or_else(|| label("app")).unwrap_or(&self.workload)
    }

    /// `service.istio.io/canonical-revision`, else `version`, else `latest`.
    pub fn canonical_revision(&self) -> &str {
        let label = |key: &str| self.labels.get(key).map(String::as_str);
        label(LABELS[3]).or_else(|| label("version")).unwrap_or("latest")
    }

    /// The metadata as a `Struct`, without the id.
    pub fn to_struct(&self) -> Struct {
        let texts = [
            ("NAME", &self.name),
            ("NAMESPACE", &self.namespace),
            ("WORKLOAD_NAME", &self.workload),
            ("OWNER", &self.owner),
            ("CLUSTER_ID", &self.cluster),
        ];
        let mut fields: std::collections::HashMap<String, Value> = texts
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), structs::text(value)))
            .collect();
        if !self.labels.is_empty() {
            let labels = self.labels.iter().map(|(key, value)| (key.clone(), structs::text(value))).collect();
            let labels = Value { kind: Some(V::StructValue(Struct { fields: labels })) };
            fields.insert("LABELS".into(), labels);
        }
        Struct { fields }
    }

    /// Reads a `Struct`; unknown fields are ignored.
    pub fn from_struct(id: &str, value: &Struct) -> Self {
        let text = |key: &str| structs::get_text(value, key).unwrap_or_default().to_owned();
        let labels = structs::get_struct(value, "LABELS").map(|labels| {
            let pairs = labels
                .fields
                .keys()
                .filter_map(|key| Some((key.clone(), structs::get_text(labels, key)?.into())));
            pairs.collect()
        });
        Peer {
            id: id.into(),
            name: text("NAME"),
            namespace: text("NAMESPACE"),
            workload: text("WORKLOAD_NAME"),
            owner: text("OWNER"),
            cluster: text("CLUSTER_ID"),
            labels: labels.unwrap_or_default(),
        }
    }

    /// The value of [`HEADER`]; that of [`HEADER_ID`] is [`Peer::id`].
    pub fn to_header(&self) -> String {
        STANDARD.encode(structs::encode(&self.to_struct()))
    }

    /// Reads the two header values; padding may be missing.
    pub fn from_header(id: &str, value: &str) -> Result<Self, BadPeer> {
        let bytes = STANDARD_NO_PAD.decode(value.trim_end_matches('=')).map_err(|_| BadPeer::Base64)?;
        let value = Struct::decode(bytes.as_slice()).map_err(|e| BadPeer::Decode(e.to_string()))?;
        Ok(Peer::from_struct(id, &value))
    }

    /// The TCP frame, header included.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut fields = std::collections::HashMap::new();
        fields.insert(HEADER.to_owned(), Value { kind: Some(V::StructValue(self.to_struct())) });
        if !self.id.is_empty() {
            fields.insert(HEADER_ID.to_owned(), structs::text(&self.id));
        }
        let any =
            Any { type_url: STRUCT_URL.into(), value: structs::encode(&Struct { fields }) }.encode_to_vec();
        let mut out = Vec::with_capacity(FRAME_HEADER + any.len());
        out.extend_from_slice(&MAGIC.to_be_bytes());
        // Far below 4 GiB: a handful of names.
        out.extend_from_slice(&u32::try_from(any.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&any);
        out
    }

    /// Length of the body that follows this frame header.
    pub fn frame_length(header: [u8; FRAME_HEADER]) -> Result<usize, BadPeer> {
        let [m0, m1, m2, m3, l0, l1, l2, l3] = header;
        if u32::from_be_bytes([m0, m1, m2, m3]) != MAGIC {
            return Err(BadPeer::Magic);
        }
        match u32::from_be_bytes([l0, l1, l2, l3]) as usize {
            length if length > MAX_FRAME => Err(BadPeer::TooLong(length)),
            length => Ok(length),
        }
    }

    /// Reads the body of a frame.
    pub fn from_frame(body: &[u8]) -> Result<Self, BadPeer> {
        let decode = |e: prost::DecodeError| BadPeer::Decode(e.to_string());
        let any = Any::decode(body).map_err(decode)?;
        if any.type_url != STRUCT_URL {
            return Err(BadPeer::Decode(format!("unexpected type {}", any.type_url)));
        }
        let outer = Struct::decode(any.value.as_slice()).map_err(decode)?;
        let id = structs::get_text(&outer, HEADER_ID).unwrap_or_default();
        let empty = Struct::default();
        Ok(Peer::from_struct(id, structs::get_struct(&outer, HEADER).unwrap_or(&empty)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        let mut metadata = Metadata {
            name: "reviews-v1".into(),
            namespace: "default".into(),
            workload_name: "reviews".into(),
            owner: "kubernetes://apis/apps/v1/namespaces/default/deployments/reviews".into(),
            cluster_id: "Kubernetes".into(),
            ..Metadata::default()
        };
        metadata.labels.insert("app".into(), "reviews".into());
        metadata.labels.insert("pod-template-hash".into(), "x".into());
        Peer::of("sidecar~1.2.3.4~reviews-v1.default~default.svc.cluster.local", &metadata)
    }

    #[test]
    fn header_round_trip() {
        let peer = peer();
        assert_eq!(Peer::from_header(&peer.id, &peer.to_header()).unwrap(), peer);
        assert_eq!(peer.to_header(), self::peer().to_header());
        assert_eq!((peer.canonical_name(), peer.canonical_revision()), ("reviews", "latest"));
        assert!(!peer.labels.contains_key("pod-template-hash"));
        assert_eq!(Peer::from_header("", "!"), Err(BadPeer::Base64));
    }

    #[test]
    fn frame_round_trip() {
        let peer = peer();
        let frame = peer.to_frame();
        assert_eq!(frame[..4], [0x3D, 0x23, 0x04, 0x67]);
        let (header, body) = frame.split_at(FRAME_HEADER);
        assert_eq!(Peer::frame_length(header.try_into().unwrap()), Ok(body.len()));
        assert_eq!(Peer::from_frame(body).unwrap(), peer);
        assert_eq!(Peer::frame_length(*b"GET / HT"), Err(BadPeer::Magic));
        let long = [0x3D, 0x23, 0x04, 0x67, 0x7f, 0, 0, 0];
        assert!(matches!(Peer::frame_length(long), Err(BadPeer::TooLong(_))));
    }
}
