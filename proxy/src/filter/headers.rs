//! Header changes of a route: removals first, then additions, from the most specific place to the least
//! (weighted share, route, virtual host, table), so that the later one wins, as in Envoy.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{AppendAction, HeaderOp, HeaderOps, HeaderText, RouteTable, Rule, VirtualHost};
use crate::observe::TextFormat;
use crate::router::ForwardTo;

/// Fills in a format from what is known of the request; `None`: the header is not written (`-` in Envoy's logs).
pub type Fill<'a> = dyn FnMut(&TextFormat) -> Option<HeaderValue> + 'a;

/// Changes the head of a request that is forwarded. Before path and host rewrites.
pub fn request_headers(to: &ForwardTo, headers: &mut HeaderMap, fill: &mut Fill<'_>) {
    let share = to.share().map(|share| &share.headers);
    for ops in share.into_iter().chain([&to.rule.header_ops, &to.host.headers, &to.table.headers]) {
        apply(&ops.request_remove, &ops.request_set, headers, fill);
    }
}

/// Changes the head of a response that came from the upstream, or that answers in its place.
pub fn response_headers(to: &ForwardTo, headers: &mut HeaderMap, fill: &mut Fill<'_>) {
    if let Some(share) = to.share() {
        apply(&share.headers.response_remove, &share.headers.response_set, headers, fill);
    }
    response_headers_of(Some(&to.rule), &to.host, &to.table, headers, fill);
}

/// Changes the head of a direct response or redirect.
pub fn response_headers_of(
    rule: Option<&Rule>,
    host: &VirtualHost,
    table: &RouteTable,
    headers: &mut HeaderMap,
    fill: &mut Fill<'_>,
) {
    let rule = rule.map(|rule| &rule.header_ops);
    for ops in rule.into_iter().chain([&host.headers, &table.headers]) {
        apply(&ops.response_remove, &ops.response_set, headers, fill);
    }
}

fn apply(remove: &[HeaderName], set: &[HeaderOp], headers: &mut HeaderMap, fill: &mut Fill<'_>) {
    for name in remove {
        headers.remove(name);
    }
    for op in set {
        let present = headers.contains_key(&op.name);
        let wanted = match op.how {
            AppendAction::AddIfAbsent => !present,
            AppendAction::OverwriteIfExists => present,
            AppendAction::AppendOrAdd | AppendAction::OverwriteOrAdd => true,
        };
        if !wanted {
            continue;
        }
        let value = match &op.value {
            HeaderText::Literal(value) => Some(value.clone()),
            HeaderText::Format(format) => fill(format),
        };
        let Some(value) = value else { continue };
        match op.how {
            AppendAction::AppendOrAdd => {
                headers.append(op.name.clone(), value);
            }
            _ => {
                headers.insert(op.name.clone(), value);
            }
        }
    }
}

impl HeaderOps {
    /// True when nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.request_set.is_empty()
            && self.request_remove.is_empty()
            && self.response_set.is_empty()
            && self.response_remove.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(name: &'static str, value: &'static str, how: AppendAction) -> HeaderOp {
        let value = HeaderText::Literal(HeaderValue::from_static(value));
        HeaderOp { name: HeaderName::from_static(name), value, how }
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn append_actions() {
        let mut headers = HeaderMap::new();
        for name in ["a", "b", "c", "d", "gone"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("0"));
        }
        let set = [
            op("a", "1", AppendAction::AppendOrAdd),
            op("b", "1", AppendAction::AddIfAbsent),
            op("c", "1", AppendAction::OverwriteOrAdd),
            op("d", "1", AppendAction::OverwriteIfExists),
            op("new-a", "1", AppendAction::AppendOrAdd),
            op("new-b", "1", AppendAction::AddIfAbsent),
            op("new-d", "1", AppendAction::OverwriteIfExists),
            op("gone", "back", AppendAction::AppendOrAdd),
        ];
        apply(&[HeaderName::from_static("gone")], &set, &mut headers, &mut |_| None);
        assert_eq!(
            lines(&headers),
            ["a: 0", "a: 1", "b: 0", "c: 1", "d: 1", "gone: back", "new-a: 1", "new-b: 1"]
        );
    }

    #[test]
    fn the_least_specific_place_wins() {
        let ops = |value: &'static str| HeaderOps {
            response_set: vec![op("x", value, AppendAction::OverwriteOrAdd)],
            ..Default::default()
        };
        let host = VirtualHost { headers: ops("host"), ..Default::default() };
        let table = RouteTable { headers: ops("table"), ..Default::default() };
        let mut headers = HeaderMap::new();
        response_headers_of(None, &host, &table, &mut headers, &mut |_| None);
        assert_eq!(headers["x"], "table");
    }
}
