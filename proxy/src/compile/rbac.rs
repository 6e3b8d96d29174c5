//! `envoy.extensions.filters.http.rbac.v3.RBAC`. What cannot be judged here is refused by name: a policy that is passed over is a door
//! left open.
//!
//! In: the filter's message. Out: `filter::Rbac`, or `None` where it has no rules. Called by `filter`.

use std::collections::BTreeMap;

use wire::pb::envoy::config::rbac::v3 as rbac;
use wire::pb::envoy::extensions::filters::http::rbac::v3 as http;
use wire::pb::envoy::r#type::matcher::v3 as matcher;
use wire::pb::google::protobuf as google;

use super::read::{At, Lower, Refusal, cidr, done, harmless, refuse, text, unpack};
use super::text::{header, string};
use crate::config::TextMatch;
use crate::filter::{Condition, Policy, Rbac, RbacAction};

/// The rules of a filter.
pub(super) fn rules(any: &google::Any) -> Lower<Option<Rbac>> {
    let mut config: http::Rbac = unpack(any)?;
    // Only names and number of metrics.
    harmless!(config; rules_stat_prefix, track_per_rule_stats);
    let rules = config.rules.take().map(lowered).transpose().at("rules")?;
    done(&config)?;
    Ok(rules)
}

fn lowered(mut rules: rbac::Rbac) -> Lower<Rbac> {
    let action = match rules.action() {
        rbac::rbac::Action::Allow => RbacAction::Allow,
        rbac::rbac::Action::Deny => RbacAction::Deny,
        rbac::rbac::Action::Log => RbacAction::Log,
    };
    rules.action = 0;
    let sorted: BTreeMap<String, rbac::Policy> = std::mem::take(&mut rules.policies).into_iter().collect();
    let policies = sorted.into_iter().map(|(name, one)| {
        let field = format!("policies.{name}");
        policy(name, one).at(&field)
    });
    let policies = policies.collect::<Lower<_>>()?;
    done(&rules)?;
    Ok(Rbac { action, policies })
}

fn policy(name: String, mut one: rbac::Policy) -> Lower<Policy> {
    let permissions = std::mem::take(&mut one.permissions).into_iter().enumerate();
    let permissions =
        permissions.map(|(i, one)| permission(one).item("permissions", i)).collect::<Lower<_>>()?;
    let principals = std::mem::take(&mut one.principals).into_iter().enumerate();
    let principals = principals.map(|(i, one)| principal(one).item("principals", i)).collect::<Lower<_>>()?;
    done(&one)?;
    Ok(Policy { name: text(name), permissions, principals })
}

fn permission(one: rbac::Permission) -> Lower<Condition> {
    use rbac::permission::Rule as R;
    let set = |set: rbac::permission::Set| {
        set.rules
            .into_iter()
            .enumerate()
            .map(|(i, one)| permission(one).item("rules", i))
            .collect::<Lower<_>>()
    };
    Ok(match one.rule {
        Some(R::Any(any)) => Condition::Any(any),
        Some(R::AndRules(rules)) => Condition::All(set(rules).at("and_rules")?),
        Some(R::OrRules(rules)) => Condition::Some(set(rules).at("or_rules")?),
        Some(R::NotRule(rule)) => Condition::Not(Box::new(permission(*rule).at("not_rule")?)),
        Some(R::Header(want)) => Condition::Header(header(want).at("header")?),
        Some(R::UrlPath(want)) => Condition::Path(path(want).at("url_path")?),
        Some(R::DestinationIp(range)) => Condition::DestinationIp(cidr(&range).at("destination_ip")?),
        Some(R::DestinationPort(port)) => Condition::DestinationPort(port, port.saturating_add(1)),
        Some(R::DestinationPortRange(range)) => {
            match (u32::try_from(range.start), u32::try_from(range.end)) {
                (Ok(start), Ok(end)) if start < end => Condition::DestinationPort(start, end),
                _ => {
                    return refuse(
                        "destination_port_range",
                        "must have a start that is smaller than its end",
                    );
                }
            }
        }
        Some(R::RequestedServerName(want)) => {
            Condition::ServerName(string(want).at("requested_server_name")?)
        }
        Some(R::Metadata(_)) => return unsupported("metadata"),
        Some(R::SourcedMetadata(_)) => return unsupported("sourced_metadata"),
        Some(R::Matcher(_)) => return unsupported("matcher"),
        Some(R::UriTemplate(_)) => return unsupported("uri_template"),
        None => return Err(Refusal::new("a permission without a rule")),
    })
}

fn principal(one: rbac::Principal) -> Lower<Condition> {
    use rbac::principal::Identifier as I;
    let set = |set: rbac::principal::Set| {
        set.ids.into_iter().enumerate().map(|(i, one)| principal(one).item("ids", i)).collect::<Lower<_>>()
    };
    Ok(match one.identifier {
        Some(I::Any(any)) => Condition::Any(any),
        Some(I::AndIds(ids)) => Condition::All(set(ids).at("and_ids")?),
        Some(I::OrIds(ids)) => Condition::Some(set(ids).at("or_ids")?),
        Some(I::NotId(id)) => Condition::Not(Box::new(principal(*id).at("not_id")?)),
        Some(I::Authenticated(who)) => {
            let name = who.principal_name.map(string).transpose();
            Condition::Authenticated(name.at("authenticated.principal_name")?)
        }
        // Envoy's old name of `direct_remote_ip`.
        Some(I::SourceIp(range)) => Condition::DirectIp(cidr(&range).at("source_ip")?),
        Some(I::DirectRemoteIp(range)) => Condition::DirectIp(cidr(&range).at("direct_remote_ip")?),
        Some(I::RemoteIp(range)) => Condition::RemoteIp(cidr(&range).at("remote_ip")?),
        Some(I::Header(want)) => Condition::Header(header(want).at("header")?),
        Some(I::UrlPath(want)) => Condition::Path(path(want).at("url_path")?),
        Some(I::Metadata(_)) => return unsupported("metadata"),
        Some(I::SourcedMetadata(_)) => return unsupported("sourced_metadata"),
        Some(I::FilterState(_)) => return unsupported("filter_state"),
        Some(I::Custom(_)) => return unsupported("custom"),
        None => return Err(Refusal::new("a principal without an identifier")),
    })
}

fn path(want: matcher::PathMatcher) -> Lower<TextMatch> {
    match want.rule {
        Some(matcher::path_matcher::Rule::Path(want)) => string(want).at("path"),
        None => Err(Refusal::new("no path")),
    }
}

fn unsupported<T>(field: &str) -> Lower<T> {
    refuse(field, "not supported by this proxy")
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn compiled(policy: rbac::Policy) -> Lower<Option<Rbac>> {
        let rules = rbac::Rbac { policies: [("p".to_owned(), policy)].into(), ..rbac::Rbac::default() };
        let filter = http::Rbac { rules: Some(rules), ..http::Rbac::default() };
        rules_of(&filter)
    }

    fn rules_of(filter: &http::Rbac) -> Lower<Option<Rbac>> {
        let any = google::Any {
            type_url: "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC".into(),
            value: filter.encode_to_vec(),
        };
        rules(&any)
    }

    fn anybody() -> rbac::Principal {
        rbac::Principal { identifier: Some(rbac::principal::Identifier::Any(true)) }
    }

    #[test]
    fn what_cannot_be_judged_is_refused_by_name() {
        use rbac::permission::Rule;
        let permission = |rule| rbac::Permission { rule: Some(rule) };
        let nested = Rule::OrRules(rbac::permission::Set {
            rules: vec![permission(Rule::Any(true)), permission(Rule::Matcher(Default::default()))],
        });
        let refusal = compiled(rbac::Policy {
            permissions: vec![permission(nested)],
            principals: vec![anybody()],
            ..Default::default()
        });
        assert_eq!(refusal.unwrap_err().path, "rules.policies.p.permissions[0].or_rules.rules[1].matcher");
        let condition = rbac::Policy { condition: Some(Default::default()), ..Default::default() };
        assert!(compiled(condition).is_err(), "a condition in CEL");
        let shadow = http::Rbac { shadow_rules: Some(rbac::Rbac::default()), ..http::Rbac::default() };
        assert!(rules_of(&shadow).is_err());
        assert!(rules_of(&http::Rbac::default()).unwrap().is_none(), "without rules all pass");
    }

    #[test]
    fn policies_are_judged_in_the_order_of_their_names() {
        let policy = rbac::Policy { principals: vec![anybody()], ..Default::default() };
        let names = ["b", "a", "c"].map(|name| (name.to_owned(), policy.clone()));
        let rules = rbac::Rbac { action: 1, policies: names.into(), ..rbac::Rbac::default() };
        let rbac = lowered(rules).unwrap();
        assert_eq!(rbac.action, RbacAction::Deny);
        assert_eq!(rbac.policies.iter().map(|policy| &*policy.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
