//! Headers that a service passes on to what it calls, so that a trace is one trace and a user stays the same
//! user. In: the headers of the request being answered. Out: those for the calls made for it.

use http::HeaderMap;

/// Trace context of every tracer the mesh knows, and what belongs to the user.
const PASSED_ON: [&str; 22] = [
    "x-request-id",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "sw8",
    "baggage",
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
];

/// The headers to pass on.
pub(super) fn forward(from: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    for name in PASSED_ON {
        for value in from.get_all(name) {
            out.append(name, value.clone());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_on_traces_and_users_only() {
        let mut from = HeaderMap::new();
        for name in ["x-b3-traceid", "b3", "traceparent", "end-user", "host", "accept", "connection"] {
            from.insert(http::HeaderName::from_static(name), http::HeaderValue::from_static("x"));
        }
        let out = forward(&from);
        assert_eq!(out.len(), 4);
        assert!(!out.contains_key("host") && !out.contains_key("accept"));
    }
}
