//! Who the request came from, told in headers: `x-forwarded-*`, `x-forwarded-client-cert`, and the clean-up of
//! `x-envoy-*` at the edge, where a client must not pretend to be a proxy. Pure but for its inputs.

use std::fmt::Write;
use std::net::IpAddr;

use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::marks::Marks;
use crate::config::{ForwardClientCert, HttpChain, Xfcc};
use crate::observe::{Conn, TlsFacts};

const XFF: HeaderName = HeaderName::from_static("x-forwarded-for");
const XFP: HeaderName = HeaderName::from_static("x-forwarded-proto");
const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const EXTERNAL: HeaderName = HeaderName::from_static("x-envoy-external-address");

/// Meaningful only to the proxy that sets them: never accepted.
const INTERNAL: [HeaderName; 9] = [
    HeaderName::from_static("x-envoy-internal"),
    HeaderName::from_static("x-envoy-upstream-alt-stat-name"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-alt-response"),
    HeaderName::from_static("x-envoy-expected-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-force-trace"),
    HeaderName::from_static("x-envoy-ip-tags"),
    HeaderName::from_static("x-envoy-original-url"),
    HeaderName::from_static("x-envoy-hedge-on-per-try-timeout"),
    HeaderName::from_static("x-envoy-upstream-stream-duration-ms"),
];

/// What proxies tell each other, and by what applications in the mesh ask for timeouts and retries of their own, as
/// Istio documents: not accepted from outside.
const BETWEEN: [HeaderName; 12] = [
    HeaderName::from_static("x-envoy-decorator-operation"),
    HeaderName::from_static("x-envoy-original-path"),
    HeaderName::from_static("x-envoy-original-host"),
    HeaderName::from_static("x-envoy-downstream-service-cluster"),
    HeaderName::from_static("x-envoy-downstream-service-node"),
    HeaderName::from_static("x-envoy-retry-on"),
    HeaderName::from_static("x-envoy-retry-grpc-on"),
    HeaderName::from_static("x-envoy-max-retries"),
    HeaderName::from_static("x-envoy-retriable-status-codes"),
    HeaderName::from_static("x-envoy-retriable-header-names"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms"),
];

/// Rewrites the headers and returns the scheme: `true` for https.
pub(crate) fn rewrite(
    http: &HttpChain,
    conn: &Conn,
    https: bool,
    marks: Marks,
    headers: &mut HeaderMap,
) -> bool {
    let edge = http.use_remote_address;
    if marks.has(Marks::ENVOY) {
        INTERNAL.iter().for_each(|name| drop(headers.remove(name)));
        if edge {
            BETWEEN.iter().for_each(|name| drop(headers.remove(name)));
        }
    }
    if edge {
        let peer = conn.peer.ip().to_canonical();
        let before = list(headers, &XFF);
        let trusted = trusted_client(&before, http.xff_trusted_hops).unwrap_or(peer);
        if !http.skip_xff_append {
            append(headers, before, peer);
        }
        if let Ok(value) = HeaderValue::from_str(&trusted.to_string()) {
            headers.insert(EXTERNAL, value);
        }
    }
    if marks.has(Marks::CERT) || conn.tls.is_some() {
        client_cert(http.forward_client_cert, conn.tls.as_ref(), headers);
    }
    let known = marks
        .has(Marks::PROTO)
        .then(|| headers.get(&XFP))
        .flatten()
        .map(|scheme| scheme.as_bytes() == b"https");
    match known {
        Some(https) if !edge || http.xff_trusted_hops > 0 => https,
        _ => {
            headers.insert(XFP, HeaderValue::from_static(if https { "https" } else { "http" }));
            https
        }
    }
}

/// All lines of a header as one list.
fn list(headers: &HeaderMap, name: &HeaderName) -> String {
    let mut all = String::new();
    for line in headers.get_all(name).iter().filter_map(|line| line.to_str().ok()) {
        if !all.is_empty() && !line.is_empty() {
            all.push(',');
        }
        all.push_str(line);
    }
    all
}

/// The address that the nearest trusted proxy saw, counted from the right.
fn trusted_client(before: &str, hops: u32) -> Option<IpAddr> {
    let hops = (hops as usize).checked_sub(1)?;
    before.rsplit(',').nth(hops)?.trim().parse().ok()
}

fn append(headers: &mut HeaderMap, mut text: String, peer: IpAddr) {
    if !text.is_empty() {
        text.push(',');
    }
    // Writing to a string cannot fail.
    write!(text, "{peer}").ok();
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(XFF, value);
    }
}

/// `x-forwarded-client-cert` by the chain's mode.
fn client_cert(settings: ForwardClientCert, tls: Option<&TlsFacts>, headers: &mut HeaderMap) {
    let mutual = tls.filter(|tls| tls.peer_hash.is_some());
    match settings.mode {
        Xfcc::AlwaysForwardOnly => return,
        Xfcc::Sanitize => {
            headers.remove(&XFCC);
            return;
        }
        _ if mutual.is_none() => {
            headers.remove(&XFCC);
            return;
        }
        Xfcc::ForwardOnly => return,
        Xfcc::AppendForward | Xfcc::SanitizeSet => {}
    }
    let Some(tls) = mutual else { return };
    let mut text = match settings.mode {
        Xfcc::AppendForward => list(headers, &XFCC),
        _ => String::new(),
    };
    if !text.is_empty() {
        text.push(',');
    }
    element(settings, tls, &mut text);
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(XFCC, value);
    }
}

/// One element: `By=…;Hash=…;Cert="…";Chain="…";Subject="…";URI=…;DNS=…`.
fn element(settings: ForwardClientCert, tls: &TlsFacts, text: &mut String) {
    let start = text.len();
    let mut put = |key: &str, value: &str, quoted: bool| {
        if text.len() > start {
            text.push(';');
        }
        let quote = if quoted { "\"" } else { "" };
        write!(text, "{key}={quote}{value}{quote}").ok();
    };
    if let Some(own) = &tls.local_principal {
        put("By", own, false);
    }
    put("Hash", tls.peer_hash.as_deref().unwrap_or_default(), false);
    if let (true, Some(leaf)) = (settings.cert, tls.peer_chain.first()) {
        put("Cert", &url_encoded(&pem(leaf)), true);
    }
    if settings.chain {
        let chain: String = tls.peer_chain.iter().map(|one| pem(one)).collect();
        put("Chain", &url_encoded(&chain), true);
    }
    if settings.subject {
        let subject = tls.peer_subject.as_deref().unwrap_or_default();
        put("Subject", &subject.replace('"', "\\\""), true);
    }
    if settings.uri {
        put("URI", tls.peer_principal.as_deref().unwrap_or_default(), false);
    }
    if settings.dns {
        tls.peer_dns.iter().for_each(|name| put("DNS", name, false));
    }
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + "-----END CERTIFICATE-----\n"
}

fn url_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3 / 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls() -> TlsFacts {
        TlsFacts {
            peer_hash: Some("ab".into()),
            peer_principal: Some("spiffe://t/ns/a/sa/b".into()),
            local_principal: Some("spiffe://t/ns/c/sa/d".into()),
            peer_subject: Some("".into()),
            ..TlsFacts::default()
        }
    }

    #[test]
    fn client_certificates() {
        let set = |mode| ForwardClientCert { mode, subject: true, uri: true, ..Default::default() };
        let new = "By=spiffe://t/ns/c/sa/d;Hash=ab;Subject=\"\";URI=spiffe://t/ns/a/sa/b";
        for (mode, tls, want) in [
            (Xfcc::Sanitize, Some(tls()), None),
            (Xfcc::SanitizeSet, Some(tls()), Some(new.to_owned())),
            (Xfcc::AppendForward, Some(tls()), Some(format!("old,{new}"))),
            (Xfcc::AppendForward, None, None),
            (Xfcc::ForwardOnly, Some(tls()), Some("old".into())),
            (Xfcc::AlwaysForwardOnly, None, Some("old".into())),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(XFCC, HeaderValue::from_static("old"));
            client_cert(set(mode), tls.as_ref(), &mut headers);
            assert_eq!(headers.get(XFCC).map(|v| v.to_str().unwrap().to_owned()), want, "{mode:?}");
        }
    }
}
