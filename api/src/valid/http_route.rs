//! Rules of VirtualService's http list: what is matched, what is done, and which rules are never reached.

use super::At;
use super::http_headers;
use super::meta::labels;
use super::rules;
use super::virtual_service::{destination, gateway_names, weights};
use crate::finding::{Code, Severity};
use crate::networking::{
    CorsPolicy, FaultAbort, FaultDelay, HttpDirectResponse, HttpFaultInjection, HttpMatchRequest,
    HttpRedirect, HttpRetry, HttpRewrite, HttpRoute,
};
use crate::text::StringMatch;
use crate::time::Duration;

/// Words of `retryOn` besides status codes.
const RETRY_ON: [&str; 17] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
    "unsupported-protocol",
];

/// Bytes of a fixed answer that Envoy takes.
const MAX_BODY: usize = 1 << 20;

pub(super) fn http_rules(routes: &[HttpRoute], delegate: bool, at: &At<'_>) {
    at.each(routes, |at, route| {
        at.key("match").each(&route.matches, matches);
        action(route, delegate, at);
        http_headers::rules(route.headers.as_ref(), at);
        rules::span_or_zero(route.timeout, &at.key("timeout"));
        if let Some(retries) = &route.retries {
            retry(retries, &at.key("retries"));
        }
        if let Some(fault) = &route.fault {
            self::fault(fault, &at.key("fault"));
        }
        if let Some(cors) = &route.cors_policy {
            self::cors(cors, &at.key("corsPolicy"));
        }
        mirrors(route, at);
    });
    reachable(routes, at);
}

fn matches(at: &At<'_>, m: &HttpMatchRequest) {
    for (field, matcher) in
        [("uri", &m.uri), ("scheme", &m.scheme), ("method", &m.method), ("authority", &m.authority)]
    {
        let Some(matcher) = matcher else { continue };
        let at = at.key(field);
        at.must(!matcher.is_any(), Code::Required, || "set one of exact, prefix, regex".to_owned());
        rules::string_match(matcher, &at);
    }
    if m.ignore_uri_case && matches!(m.uri, None | Some(StringMatch::Regex(_))) {
        at.key("ignoreUriCase")
            .tell(Code::NoEffect, "only has an effect with uri.exact or uri.prefix; for regex use (?i)");
    }
    for (field, map) in [("headers", &m.headers), ("withoutHeaders", &m.without_headers)] {
        let at = at.key(field);
        for (name, matcher) in map {
            // `@request.auth.claims...` is how tokens are matched.
            if !name.starts_with('@') {
                http_headers::name(name.trim_start_matches(':'), &at.key(name));
            }
            // Istio takes `*` for "present".
            if *matcher != StringMatch::Regex("*".to_owned()) {
                rules::string_match(matcher, &at.key(name));
            }
        }
    }
    for (name, matcher) in &m.query_params {
        rules::string_match(matcher, &at.key("queryParams").key(name));
    }
    rules::port_or_none(m.port, &at.key("port"));
    labels(&m.source_labels, &at.key("sourceLabels"));
    gateway_names(&m.gateways, &at.key("gateways"));
}

fn action(route: &HttpRoute, delegate: bool, at: &At<'_>) {
    let actions = [
        ("route", !route.route.is_empty()),
        ("redirect", route.redirect.is_some()),
        ("directResponse", route.direct_response.is_some()),
        ("delegate", route.delegate.is_some()),
    ];
    rules::exactly_one(&actions, at);
    if let Some(to) = &route.delegate {
        at.key("delegate")
            .must(!delegate, Code::BadReference, || "a delegate cannot delegate again".to_owned());
        rules::required(&to.name, &at.key("delegate").key("name"), "the name of the VirtualService");
    }
    let list = at.key("route");
    list.each(&route.route, |at, route| {
        destination(route.destination.as_ref(), &at.key("destination"));
        rules::not_negative(route.weight, &at.key("weight"));
        http_headers::rules(route.headers.as_ref(), at);
    });
    weights(route.route.iter().map(|route| route.weight), &list);
    if let Some(to) = &route.redirect {
        redirect(to, &at.key("redirect"));
        for (field, set) in [("rewrite", route.rewrite.is_some()), ("fault", route.fault.is_some())] {
            at.key(field).must(!set, Code::Exclusive, || format!("{field} cannot be combined with redirect"));
        }
    }
    if let Some(answer) = &route.direct_response {
        direct_response(answer, &at.key("directResponse"));
        at.key("rewrite").must(route.rewrite.is_none(), Code::Exclusive, || {
            "rewrite cannot be combined with directResponse".to_owned()
        });
    }
    if let Some(to) = &route.rewrite {
        rewrite(to, &at.key("rewrite"));
    }
}

fn redirect(to: &HttpRedirect, at: &At<'_>) {
    rules::exclusive(&[("uri", !to.uri.is_empty()), ("prefixRewrite", !to.prefix_rewrite.is_empty())], at);
    rules::exclusive(&[("port", to.port.is_some()), ("derivePort", to.derive_port.is_some())], at);
    let said =
        [&to.uri, &to.prefix_rewrite, &to.authority, &to.scheme].into_iter().any(|text| !text.is_empty());
    at.must(said || to.port.is_some() || to.derive_port.is_some(), Code::Required, || {
        "the redirect goes nowhere; set uri, authority, scheme or port".to_owned()
    });
    if let Some(port) = to.port {
        rules::port(port, &at.key("port"));
    }
    at.key("scheme").must(matches!(to.scheme.as_str(), "" | "http" | "https"), Code::BadValue, || {
        format!("{:?} is not http or https", to.scheme)
    });
    at.key("redirectCode").must(
        matches!(to.redirect_code, 0 | 301 | 302 | 303 | 307 | 308),
        Code::OutOfRange,
        || format!("{} is no redirect; use 301, 302, 303, 307 or 308", to.redirect_code),
    );
}

fn direct_response(answer: &HttpDirectResponse, at: &At<'_>) {
    rules::within(i64::from(answer.status), 200, 599, &at.key("status"));
    let Some(body) = &answer.body else { return };
    let at = at.key("body");
    rules::exactly_one(&[("string", body.string.is_some()), ("bytes", body.bytes.is_some())], &at);
    let size = body.string.as_ref().map_or(0, String::len).max(body.bytes.as_ref().map_or(0, |b| b.0.len()));
    at.must(size <= MAX_BODY, Code::OutOfRange, || {
        format!("{size} bytes are too much; the limit is {MAX_BODY}")
    });
}

fn rewrite(to: &HttpRewrite, at: &At<'_>) {
    let regex = to.uri_regex_rewrite.as_ref();
    rules::exclusive(&[("uri", !to.uri.is_empty()), ("uriRegexRewrite", regex.is_some())], at);
    at.must(!to.uri.is_empty() || !to.authority.is_empty() || regex.is_some(), Code::Required, || {
        "the rewrite changes nothing; set uri, authority or uriRegexRewrite".to_owned()
    });
    if let Some(regex) = regex {
        let at = at.key("uriRegexRewrite");
        if rules::required(&regex.pattern, &at.key("match"), "an expression") {
            rules::regex(&regex.pattern, &at.key("match"));
        }
        rules::required(&regex.rewrite, &at.key("rewrite"), "what the match becomes");
    }
}

fn retry(retries: &HttpRetry, at: &At<'_>) {
    rules::not_negative(retries.attempts, &at.key("attempts"));
    let said = retries.per_try_timeout.is_some() || !retries.retry_on.is_empty() || retries.backoff.is_some();
    at.key("attempts").must(retries.attempts != 0 || !said, Code::Exclusive, || {
        "attempts is 0, which turns retries off; set attempts, or remove the other settings".to_owned()
    });
    rules::span(retries.per_try_timeout, &at.key("perTryTimeout"));
    rules::span(retries.backoff, &at.key("backoff"));
    for word in retries.retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let code = word.parse::<u32>().is_ok_and(|code| (100..600).contains(&code));
        at.key("retryOn").must(code || RETRY_ON.contains(&word), Code::BadValue, || {
            format!("{word:?} is no retry condition; use status codes or {}", RETRY_ON.join(", "))
        });
    }
}

fn fault(fault: &HttpFaultInjection, at: &At<'_>) {
    at.must(fault.delay.is_some() || fault.abort.is_some(), Code::Required, || {
        "set delay or abort".to_owned()
    });
    if let Some(delay) = &fault.delay {
        fault_delay(delay, &at.key("delay"));
    }
    if let Some(abort) = &fault.abort {
        fault_abort(abort, &at.key("abort"));
    }
}

fn fault_delay(delay: &FaultDelay, at: &At<'_>) {
    if delay.exponential_delay.is_some() {
        at.key("exponentialDelay")
            .tell(Code::BadValue, "exponentialDelay does not exist in any proxy; use fixedDelay");
    }
    at.key("fixedDelay").must(delay.fixed_delay.is_some(), Code::Required, || "set fixedDelay".to_owned());
    rules::span(delay.fixed_delay, &at.key("fixedDelay"));
    rules::percent(f64::from(delay.percent), &at.key("percent"));
    match &delay.percentage {
        Some(percentage) => rules::percent(percentage.value, &at.key("percentage").key("value")),
        None if delay.percent == 0 => {
            at.tell(Code::NoEffect, "without percentage.value no request is delayed; set it to 100 for all");
        }
        None => at.key("percent").tell(Code::Deprecated, "percent is deprecated; use percentage.value"),
    }
}

fn fault_abort(abort: &FaultAbort, at: &At<'_>) {
    let kinds = [
        ("httpStatus", abort.http_status.is_some()),
        ("grpcStatus", abort.grpc_status.is_some()),
        ("http2Error", abort.http2_error.is_some()),
    ];
    rules::exactly_one(&kinds, at);
    if let Some(status) = abort.http_status {
        rules::within(i64::from(status), 200, 599, &at.key("httpStatus"));
    }
    if let Some(status) = &abort.grpc_status {
        at.key("grpcStatus").must(abort.grpc_code().is_some(), Code::BadValue, || {
            format!("{status:?} is no gRPC status, such as UNAVAILABLE")
        });
    }
    if abort.http2_error.is_some() {
        at.key("http2Error")
            .tell(Code::BadValue, "http2Error does not exist in any proxy; use httpStatus or grpcStatus");
    }
    if let Some(percentage) = &abort.percentage {
        rules::percent(percentage.value, &at.key("percentage").key("value"));
    }
}

fn cors(cors: &CorsPolicy, at: &At<'_>) {
    if !cors.allow_origin.is_empty() {
        at.key("allowOrigin").tell(Code::Deprecated, "allowOrigin is deprecated; use allowOrigins");
    }
    at.key("allowOrigins").each(&cors.allow_origins, |at, origin| {
        at.must(!origin.is_any(), Code::Required, || "set one of exact, prefix, regex".to_owned());
        rules::string_match(origin, at);
    });
    at.key("allowMethods").each(&cors.allow_methods, |at, method| {
        let token = |c: char| c.is_ascii_alphabetic() || matches!(c, '*' | '-');
        at.must(!method.is_empty() && method.chars().all(token), Code::BadValue, || {
            format!("{method:?} is no method")
        });
    });
    for (field, names) in [("allowHeaders", &cors.allow_headers), ("exposeHeaders", &cors.expose_headers)] {
        at.key(field).each(names, |at, name| http_headers::name(name, at));
    }
    if let Some(age) = cors.max_age {
        let whole = age >= Duration::ZERO && age.as_nanos() % 1_000_000_000 == 0;
        at.key("maxAge")
            .must(whole, Code::BadDuration, || format!("{age} has parts of a second; use whole seconds"));
    }
}

fn mirrors(route: &HttpRoute, at: &At<'_>) {
    rules::exclusive(&[("mirror", route.mirror.is_some()), ("mirrors", !route.mirrors.is_empty())], at);
    if let Some(mirror) = &route.mirror {
        destination(Some(mirror), &at.key("mirror"));
    } else {
        let set = [
            ("mirrorPercentage", route.mirror_percentage.is_some()),
            ("mirrorPercent", route.mirror_percent.is_some()),
        ];
        for (field, _) in set.into_iter().filter(|(_, set)| *set) {
            at.key(field).tell(Code::NoEffect, "only has an effect together with mirror");
        }
    }
    if let Some(percentage) = &route.mirror_percentage {
        rules::percent(percentage.value, &at.key("mirrorPercentage").key("value"));
    }
    if let Some(percent) = route.mirror_percent {
        rules::percent(f64::from(percent), &at.key("mirrorPercent"));
        at.key("mirrorPercent")
            .tell(Code::Deprecated, "mirrorPercent is deprecated; use mirrorPercentage.value");
    }
    at.key("mirrors").each(&route.mirrors, |at, mirror| {
        destination(mirror.destination.as_ref(), &at.key("destination"));
        if let Some(percentage) = &mirror.percentage {
            rules::percent(percentage.value, &at.key("percentage").key("value"));
        }
    });
}

/// Rules behind one that takes everything, and matches that an earlier rule already has.
fn reachable(routes: &[HttpRoute], at: &At<'_>) {
    let mut catch_all = None;
    let mut seen: Vec<(usize, &HttpMatchRequest)> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let here = at.index(index);
        if let Some(first) = catch_all {
            let message = format!("never reached: rule {first} takes every request; move it to the end");
            here.tell(Code::VirtualServiceUnreachableRule, message);
            continue;
        }
        for (number, m) in route.matches.iter().enumerate() {
            let anonymous = HttpMatchRequest { name: String::new(), ..m.clone() };
            let earlier = seen
                .iter()
                .find(|(_, other)| HttpMatchRequest { name: String::new(), ..(*other).clone() } == anonymous);
            if let Some((rule, _)) = earlier {
                let message = format!("the same match is in rule {rule}, which comes first");
                here.key("match").index(number).tell_as(
                    Code::VirtualServiceIneffectiveMatch,
                    Severity::Info,
                    message,
                );
            }
            seen.push((index, m));
        }
        let everything = |m: &HttpMatchRequest| {
            HttpMatchRequest { name: String::new(), stat_prefix: String::new(), ..m.clone() }
                == HttpMatchRequest::default()
        };
        if route.matches.is_empty() || route.matches.iter().any(everything) {
            catch_all = Some(index);
        }
    }
}
