//! Questions to the DNS server.
//!
//! Promises: an answer is a message, answers the question that was asked, and is no longer than the client can take.

use std::sync::LazyLock;

use hickory_proto::op::{Message, MessageType};
use proxy::dns::{Table, reply};
use wire::nds::{NameInfo, NameTable};

/// Names of every kind: Kubernetes', foreign, wildcards, one with more addresses than fit.
static NAMES: LazyLock<Table> = LazyLock::new(|| {
    let entry = |ips: Vec<String>, registry: &str, shortname: &str| NameInfo {
        ips,
        registry: registry.into(),
        shortname: shortname.into(),
        namespace: "default".into(),
        alt_hosts: vec![format!("{shortname}.alias.test")],
    };
    let many = (0..200).map(|n| format!("10.0.1.{n}")).collect();
    let both = vec!["10.0.0.1".into(), "fd00::1".into()];
    let names = NameTable {
        table: [
            ("web.default.svc.cluster.local".into(), entry(both, "Kubernetes", "web")),
            ("big.example".into(), entry(many, "External", "")),
            ("*.wild.example".into(), entry(vec!["10.0.0.2".into()], "External", "")),
        ]
        .into(),
    };
    Table::new(&names, "default", "default.svc.cluster.local", &["default.svc.cluster.local".into()])
});

pub fn dns(bytes: &[u8]) {
    for udp in [true, false] {
        let Some(answer) = reply(&NAMES, bytes, udp, 1) else { continue };
        let asked = Message::from_vec(bytes).expect("only a message is answered");
        let limit = if udp { usize::from(asked.max_payload()).max(512) } else { 65_535 };
        assert!(answer.len() <= limit, "{} bytes", answer.len());
        let answer = Message::from_vec(&answer).expect("the answer is a message");
        assert_eq!(answer.metadata.id, asked.metadata.id);
        assert_eq!(answer.metadata.message_type, MessageType::Response);
        assert_eq!(answer.queries, asked.queries);
    }
}
