//! What an installation would change, object by object, without changing anything.
//!
//! In: an installation and what was found. Out: objects before and after, as the API server would have them. Called by
//! `cmd/manifest_diff`.

use anyhow::Result;
use serde_json::Value;

use super::apply::{Step, step};
use super::install::objects_of;
use super::look::Found;
use super::objects::{Id, Objects};
use crate::install::Installation;

/// One object that would change.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: Id,
    /// Nothing: it would be made.
    pub before: Option<Value>,
    /// Nothing: it would be removed.
    pub after: Option<Value>,
}

/// All objects that would change.
///
/// # Errors
/// The API server refuses an object.
pub async fn preview(objects: &Objects, installation: &Installation, found: &Found) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for (_, object) in objects_of(installation) {
        let id = Id::of(&object)?;
        let before = found.live.get(&id);
        match step(objects, &id, &object, before, true).await? {
            Step::Keep => {}
            Step::Create(after) => changes.push(Change { id, before: None, after: Some(after) }),
            Step::Configure { after, .. } => {
                let before = before.map(written);
                changes.push(Change { id, before, after: Some(written(&after)) });
            }
        }
    }
    for id in &found.stale {
        let before = objects.get(id).await?.as_ref().map(written);
        changes.push(Change { id: id.clone(), before, after: None });
    }
    Ok(changes)
}

/// Without what nobody writes.
fn written(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.shift_remove("status");
    }
    if let Some(meta) = object["metadata"].as_object_mut() {
        for field in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"] {
            meta.shift_remove(field);
        }
    }
    object
}
