//! ConfigMap, Secret, ServiceAccount: data and names that pods use.

use std::collections::BTreeMap;

use crate::text::Bytes;

spec! {
    pub struct ConfigMap {
        data: BTreeMap<String, String>,
        binary_data: BTreeMap<String, Bytes>,
        immutable: Option<bool>,
    }

    pub struct Secret {
        /// Written as base64.
        data: BTreeMap<String, Bytes>,
        /// Written as text; wins over `data`.
        string_data: BTreeMap<String, String>,
        #[serde(rename = "type")]
        secret_type: String,
        immutable: Option<bool>,
    }

    pub struct ServiceAccount {
        secrets: Vec<ObjectReference>,
        image_pull_secrets: Vec<LocalObjectReference>,
        automount_service_account_token: Option<bool>,
    }

    pub struct LocalObjectReference {
        name: String,
    }

    pub struct ObjectReference {
        api_version: String,
        kind: String,
        name: String,
        namespace: String,
        uid: String,
        field_path: String,
        resource_version: String,
    }
}

impl ConfigMap {
    /// The bytes under a key, text or binary.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.data.get(key).map(String::as_bytes).or_else(|| self.binary_data.get(key).map(|b| b.0.as_slice()))
    }
}

impl Secret {
    /// The bytes under a key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.string_data.get(key).map(String::as_bytes).or_else(|| self.data.get(key).map(|b| b.0.as_slice()))
    }

    /// All keys with their bytes, in order of the keys.
    pub fn entries(&self) -> BTreeMap<&str, &[u8]> {
        let data = self.data.iter().map(|(key, value)| (key.as_str(), value.0.as_slice()));
        data.chain(self.string_data.iter().map(|(key, value)| (key.as_str(), value.as_bytes()))).collect()
    }
}
