//! Volumes as folders of the host that are mounted into containers.
//!
//! In: a pod's plan and the world. Out: the volumes' content below the pod's own folder, each file written whole,
//! and the list of mounts for one container. Called before the first container starts, and again whenever a
//! ConfigMap or Secret changes or tokens are due: running pods see the new content.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use api::core::{Container, DownwardApiFile, KeyToPath, Volume, VolumeProjection};
use citadel::token::{Signer, Wish};

use super::addresses::DNS;
use super::inject::Wanted;
use super::paths::write_whole;
use super::plan::PodPlan;
use super::resources;
use super::wall::{Mount, Source};
use super::world::World;

/// How long a token is good.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const API_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";
const ROOT_CERT: &str = "istio-ca-root-cert";

/// Where pods' files lie, and what signs their tokens.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Folder of all pods' files.
    pub pods: &'a Path,
    /// Folder of what outlives the mesh, for claims.
    pub state: &'a Path,
    /// Signs tokens.
    pub signer: &'a Signer,
}

type Files = BTreeMap<String, (Vec<u8>, u32)>;

/// Writes everything a pod sees. Files that have not changed are left alone; tokens only with `tokens`.
pub fn write(plan: &PodPlan, world: &World, place: Place<'_>, tokens: bool) -> Result<(), String> {
    let dir = place.pods.join(&plan.uid);
    let maker = Maker { plan, world, place, tokens };
    for volume in &plan.spec.volumes {
        let Some(files) =
            maker.content(volume).map_err(|error| format!("volume {}: {error}", volume.name))?
        else {
            continue;
        };
        put(&dir.join("volumes").join(&volume.name), files)?;
    }
    let mut account = Files::new();
    account.insert("namespace".to_owned(), (plan.namespace.clone().into_bytes(), 0o644));
    if let Some(root) = world.config_map(&plan.namespace, ROOT_CERT).and_then(|map| map.get("root-cert.pem"))
    {
        account.insert("ca.crt".to_owned(), (root.to_vec(), 0o644));
    }
    if tokens {
        account.insert("token".to_owned(), (maker.token(API_AUDIENCE)?, 0o644));
    }
    put(&dir.join("account"), account)?;
    let mut etc = Files::new();
    etc.insert("hosts".to_owned(), (hosts(plan, world).into_bytes(), 0o644));
    let search = format!("{0}.svc.cluster.local svc.cluster.local cluster.local", plan.namespace);
    let resolv = format!("search {search}\nnameserver {DNS}\noptions ndots:5\n");
    etc.insert("resolv.conf".to_owned(), (resolv.into_bytes(), 0o644));
    etc.insert("hostname".to_owned(), (format!("{}\n", plan.hostname()).into_bytes(), 0o644));
    put(&dir.join("etc"), etc)
}

/// Removes a pod's files.
pub fn remove(plan: &PodPlan, pods: &Path) {
    // What cannot be removed now goes with the whole folder when the mesh ends.
    fs::remove_dir_all(pods.join(&plan.uid)).ok();
}

/// What one container mounts. `programs` are folders of the host that its programs lie in.
pub fn mounts(
    plan: &PodPlan,
    container: &Container,
    place: Place<'_>,
    programs: &[PathBuf],
) -> Result<Vec<Mount>, String> {
    let dir = place.pods.join(&plan.uid);
    let mut mounts: Vec<Mount> = ["hosts", "resolv.conf", "hostname"]
        .iter()
        .map(|name| host(dir.join("etc").join(name), &format!("/etc/{name}"), true))
        .collect();
    for folder in programs {
        mounts.push(host(folder.clone(), &folder.display().to_string(), true));
    }
    if plan.spec.automount_service_account_token != Some(false)
        && container.volume_mounts.iter().all(|mount| mount.mount_path != ACCOUNT_DIR)
    {
        mounts.push(host(dir.join("account"), ACCOUNT_DIR, true));
    }
    for mount in &container.volume_mounts {
        let volume = plan.spec.volumes.iter().find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| format!("volumeMounts: there is no volume {}", mount.name))?;
        let mut source = source(plan, volume, place, &dir)?;
        if !mount.sub_path.is_empty() {
            if Path::new(&mount.sub_path).components().any(|part| !matches!(part, Component::Normal(_))) {
                return Err(format!("volumeMounts: subPath {} leaves the volume", mount.sub_path));
            }
            source = source.join(&mount.sub_path);
            if volume.empty_dir.is_some() && !source.exists() {
                fs::create_dir_all(&source).map_err(|error| format!("{}: {error}", source.display()))?;
            }
        }
        let writable = volume.empty_dir.is_some()
            || volume.host_path.is_some()
            || volume.persistent_volume_claim.as_ref().is_some_and(|claim| !claim.read_only);
        mounts.push(host(source, &mount.mount_path, mount.read_only || !writable));
    }
    Ok(mounts)
}

fn host(source: PathBuf, target: &str, read_only: bool) -> Mount {
    Mount { source: Source::Host(source), target: target.to_owned(), read_only }
}

fn source(plan: &PodPlan, volume: &Volume, place: Place<'_>, dir: &Path) -> Result<PathBuf, String> {
    let fail =
        |path: &Path, error: std::io::Error| format!("volume {}: {}: {error}", volume.name, path.display());
    if let Some(path) = &volume.host_path {
        let source = PathBuf::from(&path.path);
        if path.path_type.as_deref() == Some("DirectoryOrCreate") {
            fs::create_dir_all(&source).map_err(|error| fail(&source, error))?;
        }
        return Ok(source);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let source = place.state.join("volumes").join(&plan.namespace).join(&claim.claim_name);
        fs::create_dir_all(&source).map_err(|error| fail(&source, error))?;
        return Ok(source);
    }
    let source = dir.join("volumes").join(&volume.name);
    if volume.empty_dir.is_some() {
        fs::create_dir_all(&source).map_err(|error| fail(&source, error))?;
        fs::set_permissions(&source, fs::Permissions::from_mode(0o777))
            .map_err(|error| fail(&source, error))?;
    }
    Ok(source)
}

struct Maker<'a> {
    plan: &'a PodPlan,
    world: &'a World,
    place: Place<'a>,
    tokens: bool,
}

impl Maker<'_> {
    /// Files of a volume that is made of content; `None` for one that is a folder.
    fn content(&self, volume: &Volume) -> Result<Option<Files>, String> {
        let mode = |mode: Option<i32>| mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644);
        if let Some(map) = &volume.config_map {
            return self.config_map(&map.name, &map.items, map.optional, mode(map.default_mode)).map(Some);
        }
        if let Some(secret) = &volume.secret {
            return self
                .secret(&secret.secret_name, &secret.items, secret.optional, mode(secret.default_mode))
                .map(Some);
        }
        if let Some(downward) = &volume.downward_api {
            return self.downward(&downward.items, mode(downward.default_mode)).map(Some);
        }
        if let Some(projected) = &volume.projected {
            let mut files = Files::new();
            for projection in &projected.sources {
                files.extend(self.projection(projection, mode(projected.default_mode))?);
            }
            return Ok(Some(files));
        }
        if volume.empty_dir.is_some()
            || volume.host_path.is_some()
            || volume.persistent_volume_claim.is_some()
        {
            return Ok(None);
        }
        Err("its kind is not supported on a laptop mesh; use emptyDir, hostPath, configMap, secret, projected, \
             downwardAPI or persistentVolumeClaim"
            .to_owned())
    }

    fn projection(&self, projection: &VolumeProjection, mode: u32) -> Result<Files, String> {
        if let Some(map) = &projection.config_map {
            return self.config_map(&map.name, &map.items, map.optional, mode);
        }
        if let Some(secret) = &projection.secret {
            return self.secret(&secret.name, &secret.items, secret.optional, mode);
        }
        if let Some(downward) = &projection.downward_api {
            return self.downward(&downward.items, mode);
        }
        if let Some(token) = &projection.service_account_token {
            if !self.tokens {
                return Ok(Files::new());
            }
            let audience = if token.audience.is_empty() { API_AUDIENCE } else { &token.audience };
            return Ok(Files::from([(token.path.clone(), (self.token(audience)?, mode))]));
        }
        Err("a projection that is neither configMap, secret, downwardAPI nor serviceAccountToken is not supported"
            .to_owned())
    }

    fn token(&self, audience: &str) -> Result<Vec<u8>, String> {
        let wish = Wish {
            namespace: &self.plan.namespace,
            service_account: self.plan.spec.account(),
            pod: Some(&self.plan.name),
            audiences: &[audience],
            ttl: TOKEN_LIFETIME,
        };
        self.place.signer.mint(&wish, SystemTime::now()).map(String::into_bytes)
    }

    fn config_map(
        &self,
        name: &str,
        items: &[KeyToPath],
        optional: Option<bool>,
        mode: u32,
    ) -> Result<Files, String> {
        let Some(map) = self.world.config_map(&self.plan.namespace, name) else {
            return absent("configmap", name, optional);
        };
        let text = map.data.iter().map(|(key, value)| (key.as_str(), value.as_bytes()));
        let binary = map.binary_data.iter().map(|(key, value)| (key.as_str(), value.0.as_slice()));
        choose(&text.chain(binary).collect(), items, optional, mode)
    }

    fn secret(
        &self,
        name: &str,
        items: &[KeyToPath],
        optional: Option<bool>,
        mode: u32,
    ) -> Result<Files, String> {
        match self.world.secret(&self.plan.namespace, name) {
            Some(secret) => choose(&secret.entries(), items, optional, mode),
            None => absent("secret", name, optional),
        }
    }

    fn downward(&self, items: &[DownwardApiFile], mode: u32) -> Result<Files, String> {
        let mut files = Files::new();
        for item in items {
            let text = match (&item.field_ref, &item.resource_field_ref) {
                (Some(field), _) => self.plan.field(&field.field_path)?,
                (None, Some(resource)) => {
                    let name = &resource.container_name;
                    let of = self.plan.spec.containers.iter().find(|container| container.name == *name);
                    resources::value(of.ok_or_else(|| format!("there is no container {name:?}"))?, resource)?
                }
                (None, None) => return Err(format!("{}: neither fieldRef nor resourceFieldRef", item.path)),
            };
            files.insert(item.path.clone(), (text.into_bytes(), mode));
        }
        Ok(files)
    }
}

fn absent(kind: &str, name: &str, optional: Option<bool>) -> Result<Files, String> {
    if optional == Some(true) { Ok(Files::new()) } else { Err(format!("{kind} {name} not found")) }
}

fn choose(
    all: &BTreeMap<&str, &[u8]>,
    items: &[KeyToPath],
    optional: Option<bool>,
    mode: u32,
) -> Result<Files, String> {
    if items.is_empty() {
        return Ok(all.iter().map(|(key, value)| ((*key).to_owned(), (value.to_vec(), mode))).collect());
    }
    let mut files = Files::new();
    for item in items {
        match all.get(item.key.as_str()) {
            Some(value) => {
                let mode = item.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(mode);
                files.insert(item.path.clone(), (value.to_vec(), mode));
            }
            None if optional == Some(true) => {}
            None => return Err(format!("there is no key {}", item.key)),
        }
    }
    Ok(files)
}

/// Writes files into a folder, each whole, and only those that differ.
fn put(dir: &Path, files: Files) -> Result<(), String> {
    let fail = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(dir).map_err(|error| fail(dir, error))?;
    for (name, (bytes, mode)) in files {
        if Path::new(&name).components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(format!("the path {name} leaves the volume"));
        }
        let path = dir.join(&name);
        if fs::read(&path).is_ok_and(|old| old == bytes) {
            continue;
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != dir) {
            fs::create_dir_all(parent).map_err(|error| fail(parent, error))?;
        }
        write_whole(&path, &bytes).map_err(|error| fail(&path, error))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o400))
            .map_err(|error| fail(&path, error))?;
    }
    Ok(())
}

/// The pod itself, its aliases, and where a proxy finds the control plane without asking anybody.
fn hosts(plan: &PodPlan, world: &World) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for address in plan.addresses() {
        text.push_str(&format!("{address}\t{}\n", plan.hostname()));
    }
    if plan.proxy != Wanted::Nothing
        && let Some(address) = world.control_plane()
    {
        text.push_str(&format!("{address}\tistiod.istio-system.svc istiod.istio-system.svc.cluster.local\n"));
    }
    for alias in &plan.spec.host_aliases {
        text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.join(" ")));
    }
    text
}
