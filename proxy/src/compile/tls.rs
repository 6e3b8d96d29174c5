//! Transport sockets: TLS contexts of both sides, with secrets by name.
//!
//! In: a transport socket. Out: `tls::ServerTls` or `tls::ClientTls`, or none for plain sockets. Secrets stay names,
//! which are looked up at the handshake.

use std::sync::Arc;

use wire::pb::envoy::config::core::v3 as core;
use wire::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use wire::pb::envoy::extensions::transport_sockets::tls::v3 as tls;

use super::read::{At, Lower, Refusal, done, flag, harmless, refuse, text, type_name, unpack};
use super::text::string;
use crate::tls::{ClientTls, SUITES, SanKind, SanMatch, SecretSource, ServerTls, Validation, Versions};

use tls::common_tls_context::ValidationContextType as V;

const RAW: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

/// TLS towards clients; `None` for plain bytes.
pub(super) fn server(socket: Option<core::TransportSocket>) -> Lower<Option<Arc<ServerTls>>> {
    let Some(any) = typed(socket)? else { return Ok(None) };
    let mut context: tls::DownstreamTlsContext = unpack(&any).at("typed_config")?;
    // There is no resumption here, whatever is asked.
    harmless!(context; disable_stateful_session_resumption, session_timeout, session_ticket_keys_type);
    harmless!(context; prefer_client_ciphers, full_scan_certs_on_sni_mismatch);
    let common = common(context.common_tls_context.take()).at("common_tls_context")?;
    let require_client = flag(context.require_client_certificate.take(), false);
    done(&context).at("typed_config")?;
    if common.certificates.is_empty() {
        return refuse("typed_config.common_tls_context", "a TLS server needs a certificate");
    }
    Ok(Some(Arc::new(ServerTls {
        certificates: common.certificates,
        validation: common.validation,
        require_client,
        alpn: common.alpn,
        versions: common.versions,
        suites: common.suites,
    })))
}

/// TLS towards upstreams; `None` for plain bytes.
pub(super) fn client(socket: Option<core::TransportSocket>) -> Lower<Option<Arc<ClientTls>>> {
    let Some(any) = typed(socket)? else { return Ok(None) };
    let mut context: tls::UpstreamTlsContext = unpack(&any).at("typed_config")?;
    harmless!(context; max_session_keys, enforce_rsa_key_usage);
    let common = common(context.common_tls_context.take()).at("typed_config.common_tls_context")?;
    let lacking =
        SUITES.iter().take(4).find(|(name, _)| !common.suites.iter().any(|suite| **suite == **name));
    if let (false, Some((name, _))) = (common.suites.is_empty(), lacking) {
        let reason = format!("cannot be narrowed towards upstreams: {name} must be in the list");
        return refuse("typed_config.common_tls_context.tls_params.cipher_suites", reason);
    }
    let sni = text(std::mem::take(&mut context.sni));
    done(&context).at("typed_config")?;
    Ok(Some(Arc::new(ClientTls {
        certificates: common.certificates,
        validation: common.validation,
        sni,
        auto_sni: false,
        alpn: common.alpn,
        versions: common.versions,
    })))
}

/// The configuration of a transport socket; `None` for a raw buffer.
fn typed(socket: Option<core::TransportSocket>) -> Lower<Option<wire::pb::google::protobuf::Any>> {
    let Some(socket) = socket else { return Ok(None) };
    match socket.config_type {
        Some(core::transport_socket::ConfigType::TypedConfig(any)) => match type_name(&any.type_url) {
            RAW => {
                let raw: RawBuffer = unpack(&any).at("typed_config")?;
                done(&raw).at("typed_config")?;
                Ok(None)
            }
            name if name.ends_with("TlsContext") => Ok(Some(any)),
            name => refuse("typed_config", format!("transport socket {name} is not supported")),
        },
        None if socket.name == "envoy.transport_sockets.raw_buffer" => Ok(None),
        None => refuse("typed_config", format!("transport socket {} has no typed_config", socket.name)),
    }
}

struct Common {
    certificates: Vec<SecretSource>,
    validation: Option<Validation>,
    alpn: Vec<Arc<str>>,
    versions: Versions,
    suites: Vec<Arc<str>>,
}

fn common(context: Option<tls::CommonTlsContext>) -> Lower<Common> {
    let mut context = context.unwrap_or_default();
    let mut certificates = Vec::new();
    for (index, one) in std::mem::take(&mut context.tls_certificates).into_iter().enumerate() {
        certificates.push(certificate(one).item("tls_certificates", index)?);
    }
    for (index, one) in
        std::mem::take(&mut context.tls_certificate_sds_secret_configs).into_iter().enumerate()
    {
        certificates.push(secret_name(one).item("tls_certificate_sds_secret_configs", index)?);
    }
    let validation = match context.validation_context_type.take() {
        None => None,
        Some(V::ValidationContext(one)) => Some(validation(one).at("validation_context")?),
        Some(V::ValidationContextSdsSecretConfig(name)) => {
            let mut empty = validation(tls::CertificateValidationContext::default())?;
            empty.roots = Some(secret_name(name).at("validation_context_sds_secret_config")?);
            Some(empty)
        }
        Some(V::CombinedValidationContext(mut both)) => {
            let mut rules = validation(both.default_validation_context.take().unwrap_or_default())
                .at("combined_validation_context.default_validation_context")?;
            if let Some(name) = both.validation_context_sds_secret_config.take() {
                rules.roots = Some(secret_name(name).at("combined_validation_context")?);
            }
            done(&both).at("combined_validation_context")?;
            Some(rules)
        }
        Some(_) => return refuse("validation_context_type", "certificate providers are not supported"),
    };
    let (versions, suites) = versions(context.tls_params.take().unwrap_or_default()).at("tls_params")?;
    let alpn = std::mem::take(&mut context.alpn_protocols).into_iter().map(text).collect();
    done(&context)?;
    Ok(Common { certificates, validation, alpn, versions, suites })
}

fn versions(mut params: tls::TlsParameters) -> Lower<(Versions, Vec<Arc<str>>)> {
    use tls::tls_parameters::TlsProtocol as P;
    let (min, max) = (params.tls_minimum_protocol_version(), params.tls_maximum_protocol_version());
    params.tls_minimum_protocol_version = 0;
    params.tls_maximum_protocol_version = 0;
    let min = match min {
        // Envoy's own minimum is 1.2; older versions do not exist here.
        P::TlsAuto | P::TlSv10 | P::TlSv11 | P::TlSv12 => 12,
        P::TlSv13 => 13,
    };
    let max = match max {
        P::TlsAuto | P::TlSv13 => 13,
        P::TlSv12 => 12,
        P::TlSv10 | P::TlSv11 => {
            return refuse("tls_maximum_protocol_version", "TLS before 1.2 is not supported");
        }
    };
    let suites: Vec<_> = std::mem::take(&mut params.cipher_suites).into_iter().map(text).collect();
    let known = |name: &Arc<str>| SUITES.iter().any(|(known, _)| **name == **known);
    if !suites.is_empty() && !suites.iter().any(known) && min < 13 {
        return refuse("cipher_suites", "none of these is supported");
    }
    let curves = std::mem::take(&mut params.ecdh_curves);
    if let Some(curve) =
        curves.iter().find(|one| !["X25519MLKEM768", "X25519", "P-256", "P-384"].contains(&one.as_str()))
    {
        return refuse("ecdh_curves", format!("{curve} is not supported"));
    }
    done(&params)?;
    if min > max {
        return refuse("tls_minimum_protocol_version", "is above the maximum");
    }
    Ok((Versions { min, max }, suites))
}

/// Certificate and key that stand in the message or in files.
pub(super) fn certificate(mut certificate: tls::TlsCertificate) -> Lower<SecretSource> {
    use core::data_source::Specifier as S;
    // Files are looked at again by time, not by watches.
    harmless!(certificate; watched_directory);
    let chain = certificate.certificate_chain.take().and_then(|source| source.specifier);
    let key = certificate.private_key.take().and_then(|source| source.specifier);
    done(&certificate)?;
    let bytes = |source: Option<S>| match source {
        Some(S::InlineBytes(bytes)) => Some(bytes),
        Some(S::InlineString(text)) => Some(text.into_bytes()),
        _ => None,
    };
    match (chain, key) {
        (Some(S::Filename(chain)), Some(S::Filename(key))) => {
            Ok(SecretSource::Files { chain: text(chain), key: text(key) })
        }
        (chain, key) => match (bytes(chain), bytes(key)) {
            (Some(chain), Some(key)) => Ok(SecretSource::Inline { chain: chain.into(), key: key.into() }),
            _ => Err(Refusal::new("certificate_chain and private_key must both be inline or both be files")),
        },
    }
}

/// Name and source of a secret: the identity keeper answers for Istio's local SDS clusters, ADS for the rest.
fn secret_name(config: tls::SdsSecretConfig) -> Lower<SecretSource> {
    use core::config_source::ConfigSourceSpecifier as S;
    let name = text(config.name);
    if name.is_empty() {
        return refuse("name", "a secret needs a name");
    }
    match config.sds_config.and_then(|source| source.config_source_specifier) {
        Some(S::ApiConfigSource(_)) => Ok(SecretSource::Identity(name)),
        Some(S::Ads(_) | S::Self_(_)) | None => Ok(SecretSource::Ads(name)),
        Some(S::Path(_) | S::PathConfigSource(_)) => {
            refuse("sds_config", "secrets from files are not supported")
        }
    }
}

/// How the other side's certificate is checked.
pub(super) fn validation(mut context: tls::CertificateValidationContext) -> Lower<Validation> {
    use tls::certificate_validation_context::TrustChainVerification as T;
    harmless!(context; watched_directory, suppress_client_ca_list);
    let accept_untrusted = context.trust_chain_verification() == T::AcceptUntrusted;
    context.trust_chain_verification = 0;
    let mut sans = Vec::new();
    for (index, one) in std::mem::take(&mut context.match_typed_subject_alt_names).into_iter().enumerate() {
        sans.push(san(one).item("match_typed_subject_alt_names", index)?);
    }
    for (index, one) in std::mem::take(&mut context.match_subject_alt_names).into_iter().enumerate() {
        sans.push(SanMatch { kind: SanKind::Any, text: string(one).item("match_subject_alt_names", index)? });
    }
    let system = context.system_root_certs.take().is_some();
    let roots = context.trusted_ca.take().map(roots).transpose().at("trusted_ca")?;
    let spki =
        pins(std::mem::take(&mut context.verify_certificate_spki), "verify_certificate_spki", &base64_pin)?;
    let hashes =
        pins(std::mem::take(&mut context.verify_certificate_hash), "verify_certificate_hash", &hex_pin)?;
    done(&context)?;
    Ok(Validation { roots, system, sans, accept_untrusted, spki, hashes, ..Validation::default() })
}

fn pins(list: Vec<String>, field: &str, read: &dyn Fn(&str) -> Option<[u8; 32]>) -> Lower<Vec<[u8; 32]>> {
    let one = |(index, pin): (usize, String)| {
        read(&pin).ok_or_else(|| Refusal::new("not the SHA-256 that it should be")).item(field, index)
    };
    list.into_iter().enumerate().map(one).collect()
}

fn base64_pin(pin: &str) -> Option<[u8; 32]> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(pin).ok()?.try_into().ok()
}

/// Hexadecimal, with or without colons.
fn hex_pin(pin: &str) -> Option<[u8; 32]> {
    let digits: String = pin.chars().filter(|c| *c != ':').collect();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn roots(source: core::DataSource) -> Lower<SecretSource> {
    match source.specifier {
        Some(core::data_source::Specifier::Filename(path)) => {
            Ok(SecretSource::Files { chain: text(path), key: text(String::new()) })
        }
        specifier => {
            let chain = super::read::inline(core::DataSource { specifier, ..Default::default() })?;
            Ok(SecretSource::Inline { chain: chain.into(), key: Arc::from([]) })
        }
    }
}

fn san(matcher: tls::SubjectAltNameMatcher) -> Lower<SanMatch> {
    use tls::subject_alt_name_matcher::SanType as S;
    let kind = match matcher.san_type() {
        S::Dns => SanKind::Dns,
        S::Uri => SanKind::Uri,
        S::IpAddress => SanKind::Ip,
        S::Email => SanKind::Email,
        S::Unspecified | S::OtherName => return refuse("san_type", "must be EMAIL, DNS, URI or IP_ADDRESS"),
    };
    let text = string(matcher.matcher.unwrap_or_default()).at("matcher")?;
    Ok(SanMatch { kind, text })
}
