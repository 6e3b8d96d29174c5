//! Secrets of a proxy: `RESOURCE NAME, TYPE, STATUS, VALID CERT, SERIAL NUMBER, NOT AFTER, NOT BEFORE, TRUST DOMAIN`.
//! Private keys are never in a dump; certificates are.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_parser::prelude::{GeneralName, ParsedExtension, Pem, X509Certificate};

use super::dump::{Dump, Form, camel, text};
use crate::render::Table;

/// The table, or the messages.
///
/// # Errors
/// A message cannot be printed.
pub fn secrets(dump: &Dump, form: Form, now: i64) -> Result<String> {
    let found = dump.secrets();
    if form != Form::Short {
        let of = |wanted: bool| -> Vec<Value> {
            let mine = found.iter().filter(|(_, active)| *active == wanted);
            mine.map(|(secret, _)| {
                let secret = camel("envoy.extensions.transport_sockets.tls.v3.Secret", secret);
                serde_json::json!({ "name": secret["name"], "secret": secret })
            })
            .collect()
        };
        let mut page = serde_json::json!({ "dynamicActiveSecrets": of(true) });
        let warming = of(false);
        if !warming.is_empty() {
            page["dynamicWarmingSecrets"] = Value::Array(warming);
        }
        return text(&page, form);
    }
    let header = [
        "RESOURCE NAME",
        "TYPE",
        "STATUS",
        "VALID CERT",
        "SERIAL NUMBER",
        "NOT AFTER",
        "NOT BEFORE",
        "TRUST DOMAIN",
    ];
    let mut table = Table::wide(&header);
    for (secret, active) in found {
        let name = secret["name"].as_str().unwrap_or_default();
        let (kind, source) = match &secret["validation_context"] {
            Value::Object(_) => ("CA", &secret["validation_context"]["trusted_ca"]),
            _ => ("Cert Chain", &secret["tls_certificate"]["certificate_chain"]),
        };
        let status = if active { "ACTIVE" } else { "WARMING" };
        let rows = certificates(source);
        if rows.is_empty() {
            table.row([name, kind, status, "false"]);
        }
        // A chain is shown by its leaf, a bundle by all of its roots.
        let shown = if kind == "CA" { rows.len() } else { 1 };
        for certificate in rows.into_iter().take(shown) {
            let valid = certificate.not_before <= now && now <= certificate.not_after;
            table.row([
                name.to_owned(),
                kind.to_owned(),
                status.to_owned(),
                valid.to_string(),
                certificate.serial,
                rfc3339(certificate.not_after),
                rfc3339(certificate.not_before),
                certificate.trust_domain,
            ]);
        }
    }
    Ok(table.to_string())
}

struct Shown {
    serial: String,
    not_before: i64,
    not_after: i64,
    trust_domain: String,
}

/// The certificates of a data source, which holds PEM as base64 or as text.
fn certificates(source: &Value) -> Vec<Shown> {
    let bytes = match (source["inline_bytes"].as_str(), source["inline_string"].as_str()) {
        (Some(encoded), _) => STANDARD.decode(encoded).unwrap_or_default(),
        (None, Some(text)) => text.as_bytes().to_vec(),
        (None, None) => Vec::new(),
    };
    Pem::iter_from_buffer(&bytes)
        .filter_map(Result::ok)
        .filter_map(|pem| pem.parse_x509().ok().map(|certificate| show(&certificate)))
        .collect()
}

fn show(certificate: &X509Certificate<'_>) -> Shown {
    let serial = certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Shown {
        serial: serial.trim_start_matches('0').to_owned(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        trust_domain: trust_domain(certificate).unwrap_or_default(),
    }
}

fn trust_domain(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => {
            names.general_names.iter().find_map(|name| match name {
                GeneralName::URI(uri) => uri.strip_prefix("spiffe://")?.split('/').next().map(str::to_owned),
                _ => None,
            })
        }
        _ => None,
    })
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
