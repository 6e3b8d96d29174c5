//! AuthorizationPolicy: who may do what to a workload.
//!
//! Evaluated CUSTOM, DENY, ALLOW. Rules are alternatives; within a rule `from`, `to` and `when` must all hold.

use crate::selector::{TargetRef, WorkloadSelector};

spec! {
    pub struct AuthorizationPolicy {
        selector: Option<WorkloadSelector>,
        /// Deprecated form of `target_refs`.
        target_ref: Option<TargetRef>,
        target_refs: Vec<TargetRef>,
        /// None match nothing: an ALLOW policy without rules denies everything.
        rules: Vec<Rule>,
        action: Action,
        /// For `CUSTOM`.
        provider: Option<ExtensionProviderRef>,
    }

    pub struct ExtensionProviderRef {
        name: String,
    }

    pub struct Rule {
        from: Vec<RuleFrom>,
        to: Vec<RuleTo>,
        when: Vec<Condition>,
    }

    pub struct RuleFrom {
        source: Option<Source>,
    }

    pub struct RuleTo {
        operation: Option<Operation>,
    }

    /// All fields must hold; within a field, any value.
    pub struct Source {
        /// `trust-domain/ns/namespace/sa/account`.
        principals: Vec<String>,
        not_principals: Vec<String>,
        /// `issuer/subject`.
        request_principals: Vec<String>,
        not_request_principals: Vec<String>,
        namespaces: Vec<String>,
        not_namespaces: Vec<String>,
        /// Address of the peer.
        ip_blocks: Vec<String>,
        not_ip_blocks: Vec<String>,
        /// Address of the client, as told by `X-Forwarded-For` or the PROXY protocol.
        remote_ip_blocks: Vec<String>,
        not_remote_ip_blocks: Vec<String>,
        /// `account` or `namespace/account`.
        service_accounts: Vec<String>,
        not_service_accounts: Vec<String>,
        trust_domains: Vec<String>,
        not_trust_domains: Vec<String>,
    }

    pub struct Operation {
        hosts: Vec<String>,
        not_hosts: Vec<String>,
        /// Ports of the workload.
        ports: Vec<String>,
        not_ports: Vec<String>,
        methods: Vec<String>,
        not_methods: Vec<String>,
        paths: Vec<String>,
        not_paths: Vec<String>,
    }

    pub struct Condition {
        key: String,
        values: Vec<String>,
        not_values: Vec<String>,
    }
}

choice! {
    pub enum Action {
        #[default]
        Allow = "ALLOW",
        Deny = "DENY",
        Audit = "AUDIT",
        Custom = "CUSTOM",
    }
}
