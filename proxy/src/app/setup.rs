//! From settings to the parts that talk to the control plane.
//!
//! In: [`Settings`] and what a bootstrap file said. Out: the node, the session's plan, the identity keeper, the mark of
//! our sockets. Nothing here connects or starts anything.

use anyhow::Context;

use crate::config::Config;
use crate::identity::{CaSettings, Keeper};
use crate::settings::{Agent, Settings, Source};
use crate::tls::Secrets;
use crate::upstream::TcpDialer;
use crate::xds::{Boot, Connector, Plan, Security, Target};

/// Interception redirects our own connections too, unless they carry a mark. Setting it needs a capability; where that
/// is missing the mesh exempts us by our user.
pub(super) fn mark(settings: &Settings) -> Option<u32> {
    const MARK: u32 = 1337;
    let Source::Agent(agent) = &settings.source else { return None };
    if !agent.marks {
        return None;
    }
    let probe = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
    match probe.set_mark(MARK) {
        Ok(()) => Some(MARK),
        Err(error) => {
            tracing::info!(%error, "sockets are not marked: interception knows our traffic by its user");
            None
        }
    }
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

pub(super) fn node(settings: &Settings, boot: &Boot) -> wire::pb::envoy::config::core::v3::Node {
    match &settings.source {
        Source::Agent(agent) => agent.node.to_proto(),
        Source::Bootstrap(bootstrap) => bootstrap.introduce(boot.node.clone().unwrap_or_default()),
    }
}

pub(super) fn plan(
    settings: &Settings,
    boot: &Boot,
    config: &base::Live<Config>,
    secrets: &Secrets,
    dialer: TcpDialer,
) -> anyhow::Result<Option<Plan>> {
    use wire::Kind;
    let node = node(settings, boot);
    let mut follow = std::collections::BTreeSet::from([Kind::Cluster, Kind::Listener]);
    let mut token = None;
    let (target, security, delta) = match &settings.source {
        Source::Agent(agent) if agent.only => return Ok(None),
        Source::Agent(agent) => {
            if !agent.ports.dns.is_empty() {
                follow.insert(Kind::NameTable);
            }
            token = Some(agent.files.token.clone());
            let plain = agent.discovery.ends_with(":15010");
            let tls =
                Security::Tls { roots: agent.files.root_cert.clone(), name: agent.control_plane.clone() };
            (Target::of(&agent.discovery), if plain { Security::Plain } else { tls }, true)
        }
        Source::Bootstrap(_) => {
            let Some(ads) = &boot.ads else { return Ok(None) };
            let now = config.load();
            let slot = now.cluster_slots.get(&*ads.cluster).copied();
            let cluster = slot.and_then(|slot| now.cluster(slot));
            let cluster =
                cluster.with_context(|| format!("ads_config: no static cluster {:?}", ads.cluster))?;
            if !boot.dynamic_clusters {
                follow.remove(&Kind::Cluster);
            }
            if !boot.dynamic_listeners {
                follow.remove(&Kind::Listener);
            }
            (Target::Cluster(cluster.clone()), Security::Cluster, ads.delta)
        }
    };
    let connector = Connector { address: target, security, secrets: secrets.clone(), dialer };
    Ok(Some(Plan { node, connector, delta, follow, identity: None, token }))
}

pub(super) fn keeper(settings: &Settings, secrets: &Secrets, dialer: TcpDialer) -> Option<Keeper> {
    let Source::Agent(agent) = &settings.source else { return None };
    let mounted = agent.files.mounted_certs.join("cert-chain.pem").exists();
    let connector = agent.ca.as_ref().map(|address| Connector {
        address: Target::of(address),
        security: if address.ends_with(":15010") {
            Security::Plain
        } else {
            Security::Tls { roots: agent.files.root_cert.clone(), name: agent.control_plane.clone() }
        },
        secrets: secrets.clone(),
        dialer,
    });
    if connector.is_none() && !mounted {
        return None;
    }
    Some(Keeper::new(ca_settings(agent), connector, secrets.clone(), base::clock::Real::shared()))
}

fn ca_settings(agent: &Agent) -> CaSettings {
    let metadata = &agent.node.metadata;
    let account = if metadata.service_account.is_empty() { "default" } else { &metadata.service_account };
    CaSettings {
        token: agent.files.token.clone(),
        roots: agent.files.root_cert.clone(),
        output: agent.output_certificates.clone(),
        mounted: agent.files.mounted_certs.clone(),
        identity: format!("spiffe://{}/ns/{}/sa/{account}", agent.trust_domain, metadata.namespace),
        cluster_id: metadata.cluster_id.clone(),
        ttl: agent.certificate_ttl,
        ratio: agent.renew_ratio,
        jitter: agent.renew_jitter,
    }
}
