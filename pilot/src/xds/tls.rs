//! TLS contexts of both sides: identities of the mesh by SDS, files, Secrets, versions.
//!
//! Called by clusters and listeners. A proxy's own certificate and the trust anchors of the mesh never come from
//! pilot: the contexts only name them and the proxy's identity keeper gives them.

use envoy_types::pb::envoy::config::core::v3::{
    ApiConfigSource, ApiVersion, ConfigSource, DataSource, GrpcService, api_config_source::ApiType,
    config_source, data_source::Specifier, grpc_service,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
    SubjectAltNameMatcher, TlsCertificate, TlsParameters,
    certificate_validation_context::SystemRootCerts,
    common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
    subject_alt_name_matcher::SanType,
    tls_parameters::TlsProtocol,
};

use super::names;
use super::proto::{ads, boolean, exact, secs, string_matcher};
use crate::model::gateway::{ServerTls, ServerTlsMode, TlsVersion};
use crate::model::policy::{ClientTls, TlsMode};
use crate::model::routes::route::Text;

/// File of trust anchors for clients that cannot say "the system's".
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Suites of TLS 1.2 that may be asked for; a client refuses a listener with any other word.
pub const CIPHERS: [&str; 12] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
];

/// A secret that the proxy's own identity keeper gives.
fn own_secret(name: &str) -> SdsSecretConfig {
    let service = grpc_service::TargetSpecifier::EnvoyGrpc(grpc_service::EnvoyGrpc {
        cluster_name: names::SDS_CLUSTER.to_owned(),
        ..Default::default()
    });
    let source = ApiConfigSource {
        api_type: ApiType::Grpc as i32,
        transport_api_version: ApiVersion::V3 as i32,
        set_node_on_first_message_only: true,
        grpc_services: vec![GrpcService { target_specifier: Some(service), ..Default::default() }],
        ..Default::default()
    };
    SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(ConfigSource {
            resource_api_version: ApiVersion::V3 as i32,
            initial_fetch_timeout: Some(secs(0)),
            config_source_specifier: Some(config_source::ConfigSourceSpecifier::ApiConfigSource(source)),
            ..Default::default()
        }),
    }
}

/// A secret that pilot gives, on the stream of everything else.
fn pilot_secret(name: String) -> SdsSecretConfig {
    SdsSecretConfig { name, sds_config: Some(ads()) }
}

fn file(path: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::Filename(path.to_owned())), ..Default::default() }
}

fn certificate(chain: &str, key: &str) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: Some(file(chain)),
        private_key: Some(file(key)),
        ..Default::default()
    }
}

fn uri_sans(ids: &[String]) -> Vec<SubjectAltNameMatcher> {
    let matcher = |id: &String| SubjectAltNameMatcher {
        san_type: SanType::Uri as i32,
        matcher: Some(exact(id)),
        oid: String::new(),
    };
    ids.iter().map(matcher).collect()
}

/// Names as people write them: URIs, DNS names, addresses; `*` at either end is a pattern.
fn any_sans(names: &[String]) -> Vec<SubjectAltNameMatcher> {
    let matcher = |name: &String| {
        let kind = if name.contains("://") {
            SanType::Uri
        } else if name.parse::<std::net::IpAddr>().is_ok() {
            SanType::IpAddress
        } else {
            SanType::Dns
        };
        let text = match name.strip_suffix('*') {
            Some(prefix) if !prefix.is_empty() => Text::Prefix(prefix.to_owned()),
            _ => Text::Exact(name.clone()),
        };
        SubjectAltNameMatcher {
            san_type: kind as i32,
            matcher: Some(string_matcher(&text, false)),
            oid: String::new(),
        }
    };
    names.iter().map(matcher).collect()
}

fn versions(min: TlsProtocol, max: TlsProtocol) -> TlsParameters {
    TlsParameters {
        tls_minimum_protocol_version: min as i32,
        tls_maximum_protocol_version: max as i32,
        ..Default::default()
    }
}

/// The proxy's identity and the anchors of the mesh; peers must show one of `ids` (none: any of the mesh).
pub fn mesh_identity(ids: &[String]) -> CommonTlsContext {
    CommonTlsContext {
        tls_params: Some(versions(TlsProtocol::TlSv12, TlsProtocol::TlSv13)),
        tls_certificate_sds_secret_configs: vec![own_secret(names::SDS_IDENTITY)],
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(
            CombinedCertificateValidationContext {
                default_validation_context: Some(CertificateValidationContext {
                    match_typed_subject_alt_names: uri_sans(ids),
                    ..Default::default()
                }),
                validation_context_sds_secret_config: Some(own_secret(names::SDS_ROOT)),
                ..Default::default()
            },
        )),
        ..Default::default()
    }
}

/// What the server side of the mesh asks for.
pub fn mesh_server(alpn: &[&str]) -> DownstreamTlsContext {
    let mut common = mesh_identity(&[]);
    common.alpn_protocols = alpn.iter().map(|&p| p.to_owned()).collect();
    DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: Some(boolean(true)),
        ..Default::default()
    }
}

/// TLS towards a server outside of the mesh.
pub fn originate(tls: &ClientTls, sans: &[String], credentials: bool, own: bool) -> CommonTlsContext {
    let mut common = CommonTlsContext {
        tls_params: Some(versions(TlsProtocol::TlSv12, TlsProtocol::TlSv13)),
        ..Default::default()
    };
    let by_credential = credentials && !tls.credential.is_empty();
    if tls.mode == TlsMode::Mutual {
        if by_credential {
            common.tls_certificate_sds_secret_configs = vec![pilot_secret(names::secret(&tls.credential))];
        } else {
            common.tls_certificates = vec![certificate(&tls.certificate, &tls.key)];
        }
    }
    if tls.skip_verify {
        return common;
    }
    let mut context =
        CertificateValidationContext { match_typed_subject_alt_names: any_sans(sans), ..Default::default() };
    if by_credential {
        common.validation_context_type =
            Some(ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
                default_validation_context: Some(context),
                validation_context_sds_secret_config: Some(pilot_secret(names::secret_ca(&tls.credential))),
                ..Default::default()
            }));
        return common;
    }
    if !tls.ca.is_empty() && tls.ca != "system" {
        context.trusted_ca = Some(file(&tls.ca));
    } else if own {
        context.system_root_certs = Some(SystemRootCerts {});
    } else {
        context.trusted_ca = Some(file(SYSTEM_ROOTS));
    }
    common.validation_context_type = Some(ValidationContextType::ValidationContext(context));
    common
}

/// TLS that a gateway terminates.
pub fn gateway_server(tls: &ServerTls, alpn: &[&str]) -> DownstreamTlsContext {
    if tls.mode == ServerTlsMode::IstioMutual {
        return mesh_server(alpn);
    }
    let min = version(tls.min).unwrap_or(TlsProtocol::TlSv12);
    let max = version(tls.max).unwrap_or(TlsProtocol::TlSv13);
    let mut params = versions(min, max);
    let known = |name: &&String| CIPHERS.contains(&name.as_str());
    params.cipher_suites = tls.ciphers.iter().filter(known).cloned().collect();
    let mut common = CommonTlsContext {
        tls_params: Some(params),
        alpn_protocols: alpn.iter().map(|&p| p.to_owned()).collect(),
        ..Default::default()
    };
    if tls.credentials.is_empty() {
        common.tls_certificates = tls.files.iter().map(|(chain, key)| certificate(chain, key)).collect();
    } else {
        common.tls_certificate_sds_secret_configs =
            tls.credentials.iter().map(|name| pilot_secret(names::secret(name))).collect();
    }
    let asks = matches!(tls.mode, ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
    if asks && !tls.skip_verify {
        common.validation_context_type = Some(client_validation(tls));
    }
    DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: Some(boolean(tls.mode == ServerTlsMode::Mutual)),
        ..Default::default()
    }
}

fn client_validation(tls: &ServerTls) -> ValidationContextType {
    let context = CertificateValidationContext {
        match_typed_subject_alt_names: any_sans(&tls.sans),
        verify_certificate_spki: tls.spki.clone(),
        verify_certificate_hash: tls.hashes.clone(),
        ..Default::default()
    };
    let name = if tls.ca_credential.is_empty() { tls.credentials.first() } else { Some(&tls.ca_credential) };
    match name {
        Some(name) => {
            ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
                default_validation_context: Some(context),
                validation_context_sds_secret_config: Some(pilot_secret(names::secret_ca(name))),
                ..Default::default()
            })
        }
        None => ValidationContextType::ValidationContext(CertificateValidationContext {
            trusted_ca: (!tls.ca_file.is_empty()).then(|| file(&tls.ca_file)),
            ..context
        }),
    }
}

fn version(version: TlsVersion) -> Option<TlsProtocol> {
    match version {
        TlsVersion::Auto => None,
        TlsVersion::V10 => Some(TlsProtocol::TlSv10),
        TlsVersion::V11 => Some(TlsProtocol::TlSv11),
        TlsVersion::V12 => Some(TlsProtocol::TlSv12),
        TlsVersion::V13 => Some(TlsProtocol::TlSv13),
    }
}
