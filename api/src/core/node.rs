//! Node: where a pod runs; its labels give the locality.

spec! {
    pub struct Node {
        #[serde(rename = "podCIDR")]
        pod_cidr: String,
        #[serde(rename = "podCIDRs")]
        pod_cidrs: Vec<String>,
        #[serde(rename = "providerID")]
        provider_id: String,
        unschedulable: bool,
    }
}
