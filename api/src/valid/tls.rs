//! Rules for TLS settings, towards backends and towards clients.

use super::{At, rules};
use crate::finding::Code;
use crate::networking::{ClientTlsMode, ClientTlsSettings, ServerTlsMode, ServerTlsSettings, TlsProtocol};

/// `trafficPolicy.tls`.
pub(super) fn client(tls: &ClientTlsSettings, at: &At<'_>) {
    let files = [
        ("clientCertificate", !tls.client_certificate.is_empty()),
        ("privateKey", !tls.private_key.is_empty()),
        ("caCertificates", !tls.ca_certificates.is_empty()),
    ];
    match tls.mode {
        ClientTlsMode::Mutual if tls.credential_name.is_empty() => {
            for (field, set) in &files[..2] {
                at.key(field).must(*set, Code::Required, || {
                    format!("mode MUTUAL needs {field}, or credentialName instead of files")
                });
            }
        }
        ClientTlsMode::IstioMutual => {
            for (field, _) in files.iter().filter(|(_, set)| *set) {
                at.key(field).tell(
                    Code::Exclusive,
                    "mode ISTIO_MUTUAL uses the mesh's certificate; remove it, or use MUTUAL",
                );
            }
        }
        _ => {}
    }
    if !tls.credential_name.is_empty() {
        for (field, _) in files.iter().filter(|(_, set)| *set) {
            at.key(field).tell(Code::Exclusive, "files and credentialName exclude each other; remove one");
        }
    }
    if tls.insecure_skip_verify == Some(true) {
        for (field, set) in
            [("caCertificates", files[2].1), ("subjectAltNames", !tls.subject_alt_names.is_empty())]
        {
            at.key(field).must(!set, Code::Exclusive, || {
                "nothing is verified with insecureSkipVerify; remove one".to_owned()
            });
        }
    }
}

/// `servers[].tls`, for a server that ends or passes TLS.
pub(super) fn server(tls: &ServerTlsSettings, at: &At<'_>) {
    let files = !tls.server_certificate.is_empty() || !tls.private_key.is_empty();
    let sources = [
        ("credentialName", !tls.credential_name.is_empty()),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
        ("serverCertificate", files),
    ];
    let set = rules::exclusive(&sources, at);
    match tls.mode {
        ServerTlsMode::Simple | ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => {
            at.must(set > 0, Code::Required, || {
                format!(
                    "mode {} needs a certificate; set credentialName, or serverCertificate and privateKey",
                    tls.mode
                )
            });
            if files {
                rules::required(
                    &tls.server_certificate,
                    &at.key("serverCertificate"),
                    "the certificate's file",
                );
                rules::required(&tls.private_key, &at.key("privateKey"), "the key's file");
                let client_ca = !tls.ca_certificates.is_empty() || !tls.ca_cert_credential_name.is_empty();
                let needed = tls.mode == ServerTlsMode::Mutual && tls.insecure_skip_verify != Some(true);
                at.key("caCertificates").must(client_ca || !needed, Code::Required, || {
                    "mode MUTUAL needs the CAs of the clients; set caCertificates".to_owned()
                });
            }
        }
        ServerTlsMode::IstioMutual => {
            at.must(set == 0, Code::Exclusive, || {
                "mode ISTIO_MUTUAL uses the mesh's certificate; remove the others".to_owned()
            });
        }
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => {
            if set > 0 {
                at.tell(
                    Code::NoEffect,
                    format!("mode {} does not end TLS; the certificate is not used", tls.mode),
                );
            }
        }
    }
    limits(tls, at);
}

fn limits(tls: &ServerTlsSettings, at: &At<'_>) {
    let both = tls.min_protocol_version != TlsProtocol::Auto && tls.max_protocol_version != TlsProtocol::Auto;
    at.key("minProtocolVersion").must(
        !both || tls.min_protocol_version <= tls.max_protocol_version,
        Code::OutOfRange,
        || format!("{} is above {}", tls.min_protocol_version, tls.max_protocol_version),
    );
    for (field, list) in
        [("credentialNames", tls.credential_names.len()), ("tlsCertificates", tls.tls_certificates.len())]
    {
        at.key(field).must(list <= 2, Code::OutOfRange, || "at most two: one RSA, one ECDSA".to_owned());
    }
    at.key("tlsCertificates").each(&tls.tls_certificates, |at, pair| {
        rules::required(&pair.server_certificate, &at.key("serverCertificate"), "the certificate's file");
        rules::required(&pair.private_key, &at.key("privateKey"), "the key's file");
    });
    rules::unique(tls.cipher_suites.iter().map(String::as_str), &at.key("cipherSuites"), "cipher suite");
    at.key("verifyCertificateHash").each(&tls.verify_certificate_hash, |at, hash| {
        let hex = hash.chars().filter(|c| *c != ':').count() == 64
            && hash.chars().all(|c| c == ':' || c.is_ascii_hexdigit());
        at.must(hex, Code::BadValue, || format!("{hash:?} is no SHA-256 in hex"));
    });
    at.key("verifyCertificateSpki").each(&tls.verify_certificate_spki, |at, hash| {
        let fits =
            hash.len() == 44 && crate::text::Bytes::decode(hash).is_ok_and(|bytes| bytes.0.len() == 32);
        at.must(fits, Code::BadValue, || format!("{hash:?} is no SHA-256 in base64"));
    });
}
