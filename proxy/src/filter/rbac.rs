//! `envoy.filters.http.rbac`: whether a request may pass.
//!
//! In: policies, compiled; who asks (connection, peer certificate, address behind trusted proxies) and for what (head).
//! Out: the name of the policy that decided against it. Pure, called by `run` in the chain's order. What a policy can
//! say and this proxy cannot judge is refused when it is compiled, never passed over.

use std::sync::Arc;

use ipnet::IpNet;

use super::Filter;
use super::remote::Trust;
use crate::config::{HeaderMatch, HttpChain, TextMatch};
use crate::observe::Conn;
use crate::router::{Head, bare_path, header_matches};

/// One filter's rules (`RBAC`). Without rules everything passes.
#[derive(Debug, Clone)]
pub struct Rbac {
    pub action: RbacAction,
    /// In the order of their names, which is that of judging.
    pub policies: Vec<Policy>,
}

/// What a matching policy means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RbacAction {
    /// Passes only what a policy matches.
    Allow,
    /// Passes only what no policy matches.
    Deny,
    /// Passes everything.
    Log,
}

/// Matches where any permission and any principal match.
#[derive(Debug, Clone)]
pub struct Policy {
    pub name: Arc<str>,
    pub permissions: Vec<Condition>,
    pub principals: Vec<Condition>,
}

/// What is asked of a request, as a permission or as a principal.
#[derive(Debug, Clone)]
pub enum Condition {
    Any(bool),
    All(Vec<Condition>),
    Some(Vec<Condition>),
    Not(Box<Condition>),
    Header(HeaderMatch),
    /// The path without its query.
    Path(TextMatch),
    DestinationIp(IpNet),
    /// From, to: the second is not part of it.
    DestinationPort(u32, u32),
    ServerName(TextMatch),
    /// The peer of the connection.
    DirectIp(IpNet),
    /// The client behind proxies that are trusted.
    RemoteIp(IpNet),
    /// A verified certificate with this URI, DNS name or subject; `None`: with any.
    Authenticated(Option<TextMatch>),
}

/// Who asks for what.
pub struct Asked<'a, 'h> {
    pub filters: &'a [Filter],
    pub trust: Trust,
    pub conn: &'a Conn,
    pub head: &'a Head<'h>,
}

impl<'a, 'h> Asked<'a, 'h> {
    /// Of a chain.
    pub fn new(http: &'a HttpChain, conn: &'a Conn, head: &'a Head<'h>) -> Self {
        let trust = Trust { edge: http.use_remote_address, hops: http.xff_trusted_hops };
        Asked { filters: &http.filters, trust, conn, head }
    }
}

impl Rbac {
    /// The policy that refuses it; an empty name where no policy allows it. `None`: it passes.
    pub(super) fn refuses(&self, asked: &Asked<'_, '_>) -> Option<&str> {
        let matched = || self.policies.iter().find(|policy| policy.matches(asked));
        match self.action {
            RbacAction::Allow if matched().is_none() => Some(""),
            RbacAction::Deny => matched().map(|policy| &*policy.name),
            RbacAction::Allow | RbacAction::Log => None,
        }
    }
}

impl Policy {
    fn matches(&self, asked: &Asked<'_, '_>) -> bool {
        let any = |list: &[Condition]| list.iter().any(|condition| condition.holds(asked));
        any(&self.permissions) && any(&self.principals)
    }
}

impl Condition {
    fn holds(&self, asked: &Asked<'_, '_>) -> bool {
        let Asked { trust, conn, head, .. } = asked;
        match self {
            Self::Any(any) => *any,
            Self::All(list) => list.iter().all(|condition| condition.holds(asked)),
            Self::Some(list) => list.iter().any(|condition| condition.holds(asked)),
            Self::Not(condition) => !condition.holds(asked),
            Self::Header(want) => header_matches(want, head),
            Self::Path(want) => want.matches(bare_path(head.path).as_bytes()),
            Self::DestinationIp(net) => net.contains(&conn.local.ip().to_canonical()),
            Self::DestinationPort(from, to) => (*from..*to).contains(&u32::from(conn.local.port())),
            Self::ServerName(want) => {
                want.matches(conn.server_name.as_deref().unwrap_or_default().as_bytes())
            }
            Self::DirectIp(net) => net.contains(&conn.peer.ip().to_canonical()),
            Self::RemoteIp(net) => net.contains(&super::remote::address(*trust, conn, head.headers)),
            Self::Authenticated(name) => authenticated(name.as_ref(), conn),
        }
    }
}

fn authenticated(name: Option<&TextMatch>, conn: &Conn) -> bool {
    let Some(tls) = conn.tls.as_ref().filter(|tls| tls.peer_hash.is_some()) else { return false };
    let Some(name) = name else { return true };
    let names = tls.peer_principal.iter().chain(&tls.peer_dns).chain(&tls.peer_subject);
    names.into_iter().any(|one| name.matches(one.as_bytes()))
}

/// `%RESPONSE_CODE_DETAILS%` of a refusal, as Envoy writes it.
pub fn details(policy: &str) -> String {
    let policy = if policy.is_empty() { "none" } else { policy };
    format!("rbac_access_denied_matched_policy[{}]", policy.replace(char::is_whitespace, "_"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::{HeaderMap, Method};

    use super::*;
    use crate::config::Direction;
    use crate::observe::TlsFacts;

    fn conn(peer: &str, tls: Option<TlsFacts>) -> Conn {
        Conn {
            id: 0,
            peer: peer.parse().unwrap(),
            local: "10.0.0.9:8080".parse().unwrap(),
            direction: Direction::Inbound,
            listener: "in".into(),
            borrowed: None,
            tls,
            server_name: Some("a.example.com".into()),
            tcp_peer: parking_lot::Mutex::new(None),
            started: Instant::now(),
        }
    }

    fn holds(condition: &Condition, conn: &Conn, path: &str, forwarded: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("x-token", "secret".parse().unwrap());
        if let Some(forwarded) = forwarded {
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        }
        let head = Head { method: &Method::GET, scheme: "http", authority: "a", path, headers: &headers };
        condition.holds(&Asked { filters: &[], trust: Trust::default(), conn, head: &head })
    }

    fn exact(text: &str) -> TextMatch {
        TextMatch::Exact { text: text.into(), ignore_case: false }
    }

    #[test]
    fn conditions() {
        let plain = conn("10.1.2.3:999", None);
        let on = |condition: Condition| holds(&condition, &plain, "/admin?x=1", None);
        assert!(on(Condition::Path(exact("/admin"))) && !on(Condition::Path(exact("/admin?x=1"))));
        assert!(on(Condition::DirectIp("10.1.0.0/16".parse().unwrap())));
        assert!(!on(Condition::DirectIp("10.2.0.0/16".parse().unwrap())));
        assert!(on(Condition::DestinationIp("10.0.0.9/32".parse().unwrap())));
        assert!(on(Condition::DestinationPort(8080, 8081)) && !on(Condition::DestinationPort(1, 8080)));
        assert!(on(Condition::ServerName(exact("a.example.com"))));
        assert!(on(Condition::Not(Box::new(Condition::Any(false)))));
        assert!(!on(Condition::All(vec![Condition::Any(true), Condition::Any(false)])));
        assert!(on(Condition::Some(vec![Condition::Any(false), Condition::Any(true)])));
        assert!(!on(Condition::Authenticated(None)), "plain text has no name");
    }

    #[test]
    fn the_client_behind_a_proxy() {
        let plain = conn("10.1.2.3:999", None);
        let remote = Condition::RemoteIp("203.0.113.0/24".parse().unwrap());
        assert!(holds(&remote, &plain, "/", Some("198.51.100.1, 203.0.113.7")), "the last one is believed");
        assert!(!holds(&remote, &plain, "/", Some("203.0.113.7, 198.51.100.1")));
        assert!(!holds(&remote, &plain, "/", None));
        assert!(!holds(&remote, &plain, "/", Some("nonsense")), "then it is the peer");
    }

    #[test]
    fn names_of_a_verified_certificate() {
        let tls = TlsFacts {
            peer_hash: Some("00".into()),
            peer_principal: Some("spiffe://cluster.local/ns/a/sa/b".into()),
            peer_dns: vec!["b.a".into()],
            ..TlsFacts::default()
        };
        let named = conn("10.1.2.3:999", Some(tls));
        for (name, found) in [("spiffe://cluster.local/ns/a/sa/b", true), ("b.a", true), ("c.a", false)] {
            assert_eq!(
                holds(&Condition::Authenticated(Some(exact(name))), &named, "/", None),
                found,
                "{name}"
            );
        }
        assert!(holds(&Condition::Authenticated(None), &named, "/", None));
        let unverified = conn("10.1.2.3:999", Some(TlsFacts::default()));
        assert!(!holds(&Condition::Authenticated(None), &unverified, "/", None));
    }

    #[test]
    fn actions() {
        let policy = |any: bool| Policy {
            name: "ns[a]-policy[b c]-rule[0]".into(),
            permissions: vec![Condition::Any(any)],
            principals: vec![Condition::Any(true)],
        };
        let (conn, headers) = (conn("10.1.2.3:999", None), HeaderMap::new());
        let head =
            Head { method: &Method::GET, scheme: "http", authority: "a", path: "/", headers: &headers };
        let judged = |action, policies| {
            let rbac = Rbac { action, policies };
            rbac.refuses(&Asked { filters: &[], trust: Trust::default(), conn: &conn, head: &head })
                .map(details)
        };
        assert_eq!(judged(RbacAction::Allow, vec![policy(true)]), None);
        let none = Some("rbac_access_denied_matched_policy[none]".to_owned());
        assert_eq!(judged(RbacAction::Allow, vec![policy(false)]), none);
        assert_eq!(judged(RbacAction::Allow, Vec::new()), none, "nothing is allowed by no policy");
        assert_eq!(judged(RbacAction::Deny, Vec::new()), None);
        let denied = judged(RbacAction::Deny, vec![policy(false), policy(true)]);
        let name = "rbac_access_denied_matched_policy[ns[a]-policy[b_c]-rule[0]]";
        assert_eq!(denied.as_deref(), Some(name));
        assert_eq!(judged(RbacAction::Log, vec![policy(true)]), None);
    }
}
