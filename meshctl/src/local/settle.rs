//! Waiting until what was written is in force: read by pilot, and confirmed by every proxy.
//!
//! In: the versions of everything in pilot's folder. Out: done, or who is behind. `apply` and its like end with this,
//! so that the next command already sees the effect; it never waits long, because a proxy may be away.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::inject::Wanted;
use super::mesh::Mesh;
use super::sandbox::Sandbox;
use super::system::SYSTEM_NAMESPACE;

/// Debug port of pilot.
const PORT: u16 = 8080;

/// What pilot says of itself.
#[derive(Debug, Deserialize)]
struct Told {
    proxies: usize,
    behind: Vec<String>,
    versions: BTreeMap<String, String>,
}

/// Waits until everything written so far is in force; the error says what is behind.
pub async fn settle(mesh: &Arc<Mesh>, patience: Duration) -> Result<(), String> {
    let begin = Instant::now();
    if tokio::time::timeout(patience, mesh.caught_up()).await.is_err() {
        return Err("the mesh is still writing".to_owned());
    }
    let revision = mesh.world().revision();
    let mut pause = Duration::from_millis(2);
    loop {
        let behind = match check(mesh, revision).await {
            None => return Ok(()),
            Some(behind) => behind,
        };
        if begin.elapsed() > patience || mesh.ending() {
            return Err(behind);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(30));
    }
}

/// What is behind; nothing if all is in force, or if there is no control plane to ask.
async fn check(mesh: &Arc<Mesh>, revision: u64) -> Option<String> {
    if mesh.written() < revision {
        return Some("the mesh is still writing".to_owned());
    }
    let (pilot, proxies) = pilot(mesh)?;
    let told = tokio::time::timeout(Duration::from_secs(2), ask(&pilot)).await.ok()??;
    let expected = mesh.config.lock().versions();
    if told.versions != expected {
        let differs = expected.iter().find(|(key, version)| told.versions.get(*key) != Some(version));
        let gone = || told.versions.keys().find(|key| !expected.contains_key(*key));
        let which = differs.map(|(key, _)| key).or_else(gone).cloned().unwrap_or_default();
        return Some(format!("pilot has not read {which}"));
    }
    if let Some(first) = told.behind.first() {
        return Some(format!("{} proxies do not have it yet, such as {first}", told.behind.len()));
    }
    (told.proxies < proxies).then(|| format!("{} of {proxies} proxies are connected", told.proxies))
}

/// A ready pilot, and how many proxies should be connected to it.
fn pilot(mesh: &Mesh) -> Option<(Arc<Sandbox>, usize)> {
    let world = mesh.world();
    let is_pilot = |namespace: &str, name: &str| namespace == SYSTEM_NAMESPACE && name == "istiod";
    let mut pods = world.pods.values();
    let pilot = pods.find(|pod| is_pilot(&pod.plan.owner.namespace, &pod.plan.owner.name) && pod.ready())?;
    let sandbox = pilot.sandbox.clone()?;
    let proxies = world.pods.values().filter(|pod| pod.plan.proxy != Wanted::Nothing && pod.ready()).count();
    Some((sandbox, proxies))
}

async fn ask(pilot: &Sandbox) -> Option<Told> {
    let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT);
    let mut stream = pilot.connect(at).await.ok()?;
    stream
        .write_all(b"GET /debug/settled HTTP/1.1\r\nHost: pilot\r\nConnection: close\r\n\r\n")
        .await
        .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let text = String::from_utf8_lossy(&answer);
    let (_, body) = text.split_once("\r\n\r\n")?;
    // The body may come in chunks; the document starts with the first brace and ends with the last.
    let (from, to) = (body.find('{')?, body.rfind('}')?);
    serde_json::from_str(body.get(from..=to)?).ok()
}
