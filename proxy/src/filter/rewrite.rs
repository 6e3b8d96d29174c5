//! Path and host rewrites of a route, after its header changes.
//!
//! The old path goes to `x-envoy-original-path`, the old host to `x-envoy-original-host`, and where asked to
//! `x-forwarded-host`.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::HostRewrite;
use crate::router::{ForwardTo, rewritten};

const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Rewrites path (with query) and authority in place. `auto_host_rewrite` needs the endpoint: see [`finish_host`].
/// `tell`: the old path goes into a header.
pub fn rewrite(
    to: &ForwardTo,
    path: &mut String,
    authority: &mut String,
    tell: bool,
    headers: &mut HeaderMap,
) {
    let rewrite = &to.forward().rewrite;
    let share = to.share().and_then(|share| share.host_rewrite.as_deref());
    let host = match (share, &rewrite.host) {
        (Some(host), _) => Some(host.to_owned()),
        (None, HostRewrite::Literal(host)) => Some(host.to_string()),
        (None, HostRewrite::Header(name)) => {
            headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
        }
        (None, HostRewrite::Keep | HostRewrite::Auto) => None,
    };
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        replace_host(host, rewrite.append_forwarded_host, authority, headers);
    }
    if let Some(new) = rewritten(&rewrite.path, &to.rule.path, path) {
        if let (true, Ok(old)) = (tell, HeaderValue::from_str(path)) {
            headers.insert(ORIGINAL_PATH, old);
        }
        *path = new;
    }
}

/// `auto_host_rewrite`: the authority becomes the endpoint's host name, if it has one. Per attempt.
pub fn finish_host(to: &ForwardTo, hostname: &str, authority: &mut String, headers: &mut HeaderMap) {
    let rewrite = &to.forward().rewrite;
    if matches!(rewrite.host, HostRewrite::Auto) && !hostname.is_empty() && authority != hostname {
        replace_host(hostname.to_owned(), rewrite.append_forwarded_host, authority, headers);
    }
}

fn replace_host(host: String, keep_old: bool, authority: &mut String, headers: &mut HeaderMap) {
    if let (false, Ok(old)) = (authority.is_empty(), HeaderValue::from_str(authority)) {
        if keep_old {
            headers.append(FORWARDED_HOST, old.clone());
        }
        headers.insert(ORIGINAL_HOST, old);
    }
    *authority = host;
}
