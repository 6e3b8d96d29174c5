//! Delegation: a rule of a root VirtualService hands over to another VirtualService, one level deep.
//!
//! Comes in: the root's match and the delegate's rules. Goes out: the delegate's rules with both conditions joined;
//! a pair of conditions that contradict each other is dropped.

use super::route::{HttpMatch, HttpRule, Text};

/// The delegate's rules under the root rule's matches.
pub fn merge(root: &[HttpMatch], rules: Vec<HttpRule>) -> Vec<HttpRule> {
    rules.into_iter().filter_map(|rule| under(root, rule)).collect()
}

fn under(root: &[HttpMatch], mut rule: HttpRule) -> Option<HttpRule> {
    if root.is_empty() {
        return Some(rule);
    }
    if rule.matches.is_empty() {
        rule.matches = root.to_vec();
        return Some(rule);
    }
    let pairs = root.iter().flat_map(|r| rule.matches.iter().filter_map(move |own| both(r, own)));
    rule.matches = pairs.collect();
    (!rule.matches.is_empty()).then_some(rule)
}

/// Both conditions, unless they say different things about the same part of a request.
fn both(root: &HttpMatch, own: &HttpMatch) -> Option<HttpMatch> {
    let mut out = own.clone();
    out.uri = narrower(root.uri.as_ref(), own.uri.as_ref())?;
    out.ignore_uri_case |= root.ignore_uri_case;
    out.scheme = narrower(root.scheme.as_ref(), own.scheme.as_ref())?;
    out.method = narrower(root.method.as_ref(), own.method.as_ref())?;
    out.authority = narrower(root.authority.as_ref(), own.authority.as_ref())?;
    join(&mut out.headers, &root.headers)?;
    join(&mut out.without_headers, &root.without_headers)?;
    join(&mut out.query, &root.query)?;
    let (client, from) = (&mut out.client, &root.client);
    if from.port.is_some() && client.port.is_some() && from.port != client.port {
        return None;
    }
    client.port = client.port.or(from.port);
    if !from.namespace.is_empty() && !client.namespace.is_empty() && from.namespace != client.namespace {
        return None;
    }
    if client.namespace.is_empty() {
        client.namespace.clone_from(&from.namespace);
    }
    for (key, value) in &from.labels {
        if client.labels.insert(key.clone(), value.clone()).is_some_and(|old| old != *value) {
            return None;
        }
    }
    if client.gateways.is_none() {
        client.gateways.clone_from(&from.gateways);
    }
    Some(out)
}

/// `None`: they contradict each other.
#[expect(clippy::option_option, reason = "outer: possible at all; inner: a condition or none")]
fn narrower(root: Option<&Text>, own: Option<&Text>) -> Option<Option<Text>> {
    match (root, own) {
        (None, own) => Some(own.cloned()),
        (root, None) => Some(root.cloned()),
        (Some(root), Some(own)) if root == own => Some(Some(own.clone())),
        (Some(Text::Prefix(prefix)), Some(Text::Exact(text) | Text::Prefix(text)))
            if text.starts_with(prefix.as_str()) =>
        {
            Some(own.cloned())
        }
        (Some(Text::Present), Some(own)) => Some(Some(own.clone())),
        _ => None,
    }
}

fn join(own: &mut Vec<(String, Text)>, root: &[(String, Text)]) -> Option<()> {
    for (key, text) in root {
        match own.iter_mut().find(|(k, _)| k == key) {
            None => own.push((key.clone(), text.clone())),
            Some((_, mine)) => *mine = narrower(Some(text), Some(mine))??,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: Text) -> HttpMatch {
        HttpMatch { uri: Some(text), ..Default::default() }
    }

    #[test]
    fn the_delegate_narrows_the_root() {
        let root = uri(Text::Prefix("/api".into()));
        let inside = both(&root, &uri(Text::Exact("/api/v1".into()))).unwrap();
        assert_eq!(inside.uri, Some(Text::Exact("/api/v1".into())));
        assert!(both(&root, &uri(Text::Exact("/other".into()))).is_none());
        assert_eq!(both(&root, &HttpMatch::default()).unwrap().uri, root.uri);
    }
}
