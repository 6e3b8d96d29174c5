//! Volumes: files that a pod's containers see.

use super::{ObjectFieldSelector, ResourceFieldSelector};
use crate::meta::{LabelSelector, Meta};
use crate::text::Quantity;

spec! {
    /// A name and one source. Sources that are not here leave all of them empty.
    pub struct Volume {
        name: String,
        config_map: Option<ConfigMapVolume>,
        secret: Option<SecretVolume>,
        empty_dir: Option<EmptyDirVolume>,
        projected: Option<ProjectedVolume>,
        host_path: Option<HostPathVolume>,
        #[serde(rename = "downwardAPI")]
        downward_api: Option<DownwardApiVolume>,
        persistent_volume_claim: Option<PersistentVolumeClaimVolume>,
        csi: serde_json::Value,
        ephemeral: serde_json::Value,
        nfs: serde_json::Value,
    }

    pub struct ConfigMapVolume {
        name: String,
        items: Vec<KeyToPath>,
        /// Permission bits; 0644 where absent.
        default_mode: Option<i32>,
        optional: Option<bool>,
    }

    pub struct SecretVolume {
        secret_name: String,
        items: Vec<KeyToPath>,
        /// Permission bits; 0644 where absent.
        default_mode: Option<i32>,
        optional: Option<bool>,
    }

    pub struct KeyToPath {
        key: String,
        path: String,
        mode: Option<i32>,
    }

    pub struct EmptyDirVolume {
        /// Empty or `Memory`.
        medium: String,
        size_limit: Option<Quantity>,
    }

    pub struct HostPathVolume {
        path: String,
        #[serde(rename = "type")]
        path_type: Option<String>,
    }

    pub struct ProjectedVolume {
        sources: Vec<VolumeProjection>,
        /// Permission bits; 0644 where absent.
        default_mode: Option<i32>,
    }

    /// One of them.
    pub struct VolumeProjection {
        config_map: Option<ConfigMapProjection>,
        secret: Option<SecretProjection>,
        #[serde(rename = "downwardAPI")]
        downward_api: Option<DownwardApiProjection>,
        service_account_token: Option<ServiceAccountTokenProjection>,
        cluster_trust_bundle: Option<ClusterTrustBundleProjection>,
    }

    pub struct ConfigMapProjection {
        name: String,
        items: Vec<KeyToPath>,
        optional: Option<bool>,
    }

    pub struct SecretProjection {
        name: String,
        items: Vec<KeyToPath>,
        optional: Option<bool>,
    }

    pub struct DownwardApiProjection {
        items: Vec<DownwardApiFile>,
    }

    pub struct DownwardApiVolume {
        items: Vec<DownwardApiFile>,
        /// Permission bits; 0644 where absent.
        default_mode: Option<i32>,
    }

    pub struct DownwardApiFile {
        path: String,
        field_ref: Option<ObjectFieldSelector>,
        resource_field_ref: Option<ResourceFieldSelector>,
        mode: Option<i32>,
    }

    pub struct ServiceAccountTokenProjection {
        audience: String,
        /// Seconds; 3600 where absent.
        expiration_seconds: Option<i64>,
        path: String,
    }

    pub struct ClusterTrustBundleProjection {
        name: Option<String>,
        signer_name: Option<String>,
        label_selector: Option<LabelSelector>,
        path: String,
        optional: Option<bool>,
    }

    pub struct PersistentVolumeClaimVolume {
        claim_name: String,
        read_only: bool,
    }

    pub struct PersistentVolumeClaimTemplate {
        metadata: Meta,
        spec: serde_json::Value,
    }
}
