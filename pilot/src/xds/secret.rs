//! Secrets for gateways: certificate and key as `kubernetes://NAME`, trust anchors as `kubernetes://NAME-cacert`.
//!
//! In: a Secret's name as a gateway mentions it. Out: its resources, for a gateway of the same namespace over an
//! authenticated connection; the caller, `layers/gateway`, asks for no other.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source::Specifier};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret::Type,
};
use wire::{Kind, Resource};

use super::names;
use super::say::Sight;
use crate::model::Hashed;
use crate::model::secrets::Credential;

/// The resources of one credential name, as far as its Secrets exist.
pub(super) fn say(sight: &Sight<'_>, namespace: &str, name: &str) -> Vec<Arc<Resource>> {
    let secrets = &sight.snapshot.secrets;
    let own = secrets.named(namespace, name);
    let apart = secrets.named(namespace, &format!("{name}-cacert"));
    let mut out = Vec::new();
    if let Some(pair) = own.filter(|c| !c.chain.is_empty() && !c.key.is_empty()) {
        let name = names::secret(name);
        out.push(sight.memo.say(Kind::Secret, &name, pair, |pair| certificate(&name, pair)));
    }
    // Anchors in a Secret of their own win.
    if let Some(anchors) = [apart, own].into_iter().flatten().find(|c| !c.ca.is_empty()) {
        let name = names::secret_ca(name);
        out.push(sight.memo.say(Kind::Secret, &name, anchors, |anchors| validation(&name, anchors)));
    }
    out
}

fn bytes(data: &[u8]) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(data.to_vec())), ..Default::default() }
}

fn certificate(name: &str, pair: &Hashed<Credential>) -> Secret {
    let certificate = TlsCertificate {
        certificate_chain: Some(bytes(&pair.chain)),
        private_key: Some(bytes(&pair.key)),
        ..Default::default()
    };
    Secret { name: name.to_owned(), r#type: Some(Type::TlsCertificate(certificate)) }
}

fn validation(name: &str, anchors: &Hashed<Credential>) -> Secret {
    let context = CertificateValidationContext { trusted_ca: Some(bytes(&anchors.ca)), ..Default::default() };
    Secret { name: name.to_owned(), r#type: Some(Type::ValidationContext(context)) }
}
