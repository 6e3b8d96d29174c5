//! What one pod is made of: its identity, its addresses, its spec with the proxy in it.
//!
//! In: the template of a workload and the world. Out: a `PodPlan` that never changes, and from it, when a container
//! starts, its arguments and environment. Names follow Kubernetes, so that a pod's workload can be told from it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use api::core::{Container, EnvVarSource, Pod};
use api::meta::OwnerReference;
use api::networking::ProxyConfig;
use api::{Key, Kind, Meta, Time};
use base::net::Interception;
use pilot::webhook::inject::Proxies;
use serde_json::Value;

use super::addresses;
use super::ground::Addressing;
use super::images::{self, Program};
use super::inject::{self, Wanted};
use super::resources;
use super::system::{NODE_NAME, SYSTEM_NAMESPACE};
use super::world::{World, uid};

/// The control plane's number where its address must be known beforehand.
pub const PILOT_NUMBER: u16 = 1;

/// A pod to run.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Its number in the mesh's network.
    pub number: u16,
    /// Address.
    pub ip4: Ipv4Addr,
    /// IPv6 address.
    pub ip6: Option<Ipv6Addr>,
    /// The workload it belongs to; for a bare pod its own key.
    pub owner: Key,
    /// Tells versions of the template apart.
    pub hash: String,
    /// Labels and annotations, injected ones too.
    pub meta: Meta,
    /// Containers and volumes, injected ones too.
    pub spec: Pod,
    /// Where `images.yaml` is searched from.
    pub manifest: Option<PathBuf>,
    /// What proxy it has.
    pub proxy: Wanted,
    /// What is intercepted, if anything.
    pub interception: Option<Interception>,
    /// When it was made.
    pub created: Time,
}

/// A template together with what it belongs to.
#[derive(Clone, Debug)]
pub struct Template {
    /// The workload.
    pub owner: Key,
    /// Labels and annotations of pods.
    pub meta: Meta,
    /// Containers and volumes.
    pub spec: Pod,
    /// Where the workload's manifest lies.
    pub manifest: Option<PathBuf>,
    /// Tells versions of the template apart.
    pub hash: String,
}

impl PodPlan {
    /// Plans a pod with this name and number.
    pub fn new(
        world: &World,
        template: &Template,
        name: &str,
        number: u16,
        addressing: Addressing,
    ) -> Result<Self, String> {
        let namespace = template.owner.namespace.clone();
        let (ip4, ip6) = (addressing.of(number), addresses::of_pod(number).1);
        let mut meta = template.meta.clone();
        name.clone_into(&mut meta.name);
        meta.namespace.clone_from(&namespace);
        meta.uid = uid();
        let created = Time::now();
        meta.creation_timestamp = Some(created);
        owner_reference(template, &mut meta);
        let mut spec = template.spec.clone();
        let proxy = inject::wanted(&meta, &spec, &world.namespace_labels(&namespace));
        let mesh = mesh_config(world);
        let mut objects: Vec<_> = world.all::<ProxyConfig>().collect();
        objects.sort_by(|a, b| a.meta.age(&b.meta));
        let workload = inject::Workload {
            proxies: Proxies::of(objects, SYSTEM_NAMESPACE, &namespace, &template.meta.labels),
            name: &template.owner.name,
            owner: owner_path(&template.owner),
            default_config: mesh.get("defaultConfig").unwrap_or(&Value::Null),
            trust_domain: mesh.get("trustDomain").and_then(Value::as_str).unwrap_or("cluster.local"),
        };
        inject::inject(&mut meta, &mut spec, proxy, &workload);
        let alone = matches!(addressing, Addressing::Cluster { .. });
        if !alone {
            let pilot = SocketAddr::new(addressing.of(PILOT_NUMBER).into(), 15010);
            inject::without_namespaces(&mut meta, &mut spec, proxy, (ip4, pilot));
        }
        let interception = match proxy {
            Wanted::Sidecar if alone => Some(inject::interception(&meta)?),
            _ => None,
        };
        Ok(Self {
            namespace,
            name: name.to_owned(),
            uid: meta.uid.clone(),
            number,
            ip4,
            ip6: (addressing == Addressing::Cluster { ipv6: true }).then_some(ip6),
            owner: template.owner.clone(),
            hash: template.hash.clone(),
            meta,
            spec,
            manifest: template.manifest.clone(),
            proxy,
            interception,
            created,
        })
    }

    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }

    /// Its addresses, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        std::iter::once(IpAddr::V4(self.ip4)).chain(self.ip6.map(IpAddr::V6)).collect()
    }

    /// Its host name.
    #[must_use]
    pub fn hostname(&self) -> &str {
        if self.spec.hostname.is_empty() { &self.name } else { &self.spec.hostname }
    }

    /// What to run for a container.
    pub fn program(&self, container: &Container) -> Result<Program, String> {
        images::program(&container.image, &container.command, &container.args, self.manifest.as_deref())
            .map_err(|error| format!("{error:#}"))
    }

    /// The value of a `fieldRef`.
    pub fn field(&self, path: &str) -> Result<String, String> {
        let map = |map: &BTreeMap<String, String>| {
            map.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
        };
        let entry = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
        Ok(match path {
            "metadata.name" => self.name.clone(),
            "metadata.namespace" => self.namespace.clone(),
            "metadata.uid" => self.uid.clone(),
            "metadata.labels" => map(&self.meta.labels),
            "metadata.annotations" => map(&self.meta.annotations),
            "spec.nodeName" => NODE_NAME.to_owned(),
            "spec.serviceAccountName" => self.spec.account().to_owned(),
            "status.podIP" => self.ip4.to_string(),
            "status.podIPs" => self.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            "status.hostIP" | "status.hostIPs" => addresses::NODE.to_string(),
            _ => match (entry("metadata.labels['"), entry("metadata.annotations['")) {
                (Some(key), _) => self.meta.labels.get(key).cloned().unwrap_or_default(),
                (_, Some(key)) => self.meta.annotations.get(key).cloned().unwrap_or_default(),
                _ => return Err(format!("fieldPath {path} is not supported")),
            },
        })
    }

    /// A container's environment and arguments, with everything filled in.
    pub fn resolve(&self, world: &World, container: &Container) -> Result<Resolved, String> {
        let program = self.program(container)?;
        let mut env = base_environment(self.hostname());
        env.extend(program.env);
        let env = self.environment(world, container, env)?;
        let argv = program.argv.iter().map(|word| expand(word, &env)).collect();
        let own = Some(container.working_dir.clone()).filter(|dir| !dir.is_empty());
        let cwd = own.or(program.working_dir).unwrap_or_else(|| "/".to_owned());
        Ok(Resolved { argv, env, cwd, programs: program.programs })
    }

    /// What a container's environment adds to another one.
    pub fn environment(
        &self,
        world: &World,
        container: &Container,
        mut env: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, String> {
        for source in &container.env_from {
            self.env_from(world, source, &mut env)?;
        }
        for variable in &container.env {
            let value = match &variable.value_from {
                None => Some(expand(&variable.value, &env)),
                Some(source) => self.env_value(world, container, &variable.name, source)?,
            };
            if let Some(value) = value {
                env.insert(variable.name.clone(), value);
            }
        }
        Ok(env)
    }

    fn env_from(
        &self,
        world: &World,
        source: &api::core::EnvFromSource,
        env: &mut BTreeMap<String, String>,
    ) -> Result<(), String> {
        let missing = |kind: &str, reference: &api::core::EnvSource| match reference.optional {
            Some(true) => Ok(()),
            _ => Err(format!("{kind} {}/{} not found", self.namespace, reference.name)),
        };
        let mut add = |key: &str, value: &[u8]| {
            env.insert(format!("{}{key}", source.prefix), String::from_utf8_lossy(value).into_owned());
        };
        if let Some(reference) = &source.config_map_ref {
            match world.config_map(&self.namespace, &reference.name) {
                Some(map) => map.data.iter().for_each(|(key, value)| add(key, value.as_bytes())),
                None => missing("configmap", reference)?,
            }
        }
        if let Some(reference) = &source.secret_ref {
            match world.secret(&self.namespace, &reference.name) {
                Some(secret) => secret.entries().into_iter().for_each(|(key, value)| add(key, value)),
                None => missing("secret", reference)?,
            }
        }
        Ok(())
    }

    fn env_value(
        &self,
        world: &World,
        container: &Container,
        name: &str,
        source: &EnvVarSource,
    ) -> Result<Option<String>, String> {
        if let Some(field) = &source.field_ref {
            return self.field(&field.field_path).map(Some).map_err(|error| format!("env {name}: {error}"));
        }
        let (kind, selector, found) = if let Some(selector) = &source.config_map_key_ref {
            let map = world.config_map(&self.namespace, &selector.name);
            ("configmap", selector, map.and_then(|map| map.get(&selector.key)).map(<[u8]>::to_vec))
        } else if let Some(selector) = &source.secret_key_ref {
            let secret = world.secret(&self.namespace, &selector.name);
            ("secret", selector, secret.and_then(|secret| secret.get(&selector.key)).map(<[u8]>::to_vec))
        } else if let Some(resource) = &source.resource_field_ref {
            let of = &resource.container_name;
            let named = self.spec.containers.iter().find(|other| other.name == *of && !of.is_empty());
            let value = resources::value(named.unwrap_or(container), resource);
            return value.map(Some).map_err(|error| format!("env {name}: {error}"));
        } else {
            return Ok(Some(String::new()));
        };
        match found {
            Some(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            None if selector.optional == Some(true) => Ok(None),
            None => Err(format!(
                "{kind} {}/{} with the key {} not found",
                self.namespace, selector.name, selector.key
            )),
        }
    }
}

/// What a container's process gets.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working folder.
    pub cwd: String,
    /// Programs for `exec` that this machine may lack.
    pub programs: BTreeMap<String, Vec<String>>,
}

/// What every process of this machine expects, and nothing else of meshctl's own environment.
fn base_environment(hostname: &str) -> BTreeMap<String, String> {
    let inherited = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "RUST_BACKTRACE", "RUST_LOG"];
    let own = inherited.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut env: BTreeMap<String, String> = own.collect();
    env.entry("PATH".to_owned()).or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    env.insert("HOSTNAME".to_owned(), hostname.to_owned());
    env
}

/// `$(NAME)` becomes the value of NAME, `$$` a dollar sign; an unknown name stays as it is.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let after = after.strip_prefix('$').unwrap_or(after);
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
            continue;
        }
        match after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            Some((name, behind)) => {
                match env.get(name) {
                    Some(value) => out.push_str(value),
                    None => out.push_str(&format!("$({name})")),
                }
                rest = behind;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn owner_reference(template: &Template, meta: &mut Meta) {
    let owner = &template.owner;
    let (kind, name) = match owner.kind {
        Kind::Pod => return,
        Kind::Deployment => {
            meta.labels.insert("pod-template-hash".to_owned(), template.hash.clone());
            ("ReplicaSet", format!("{}-{}", owner.name, template.hash))
        }
        other => (other.name(), owner.name.clone()),
    };
    let api_version = if owner.kind == Kind::Job { "batch/v1" } else { "apps/v1" };
    meta.owner_references = vec![OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name,
        controller: Some(true),
        ..OwnerReference::default()
    }];
}

fn owner_path(owner: &Key) -> String {
    let api = match owner.kind {
        Kind::Pod => "v1",
        Kind::Job => "batch/v1",
        _ => "apps/v1",
    };
    format!(
        "kubernetes://apis/{api}/namespaces/{}/{}/{}",
        owner.namespace,
        owner.kind.row().plural,
        owner.name
    )
}

/// The mesh config, as a value.
#[must_use]
pub fn mesh_config(world: &World) -> Value {
    let map = world.config_map(SYSTEM_NAMESPACE, "istio");
    map.and_then(|map| map.data.get("mesh"))
        .and_then(|text| serde_saphyr::from_str(text).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_once() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
        assert_eq!(expand("x$(A)y$(B)$(C)$$(A)$", &env), "x1y$(A)$(C)$(A)$");
    }
}
