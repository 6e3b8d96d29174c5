//! Accepting objects: parse, check, see that they can run here, keep.
//!
//! In: texts from `up` and `apply`. Out: a line per object that was kept, and every finding. An object with an error
//! is refused and its last good version stays; the others of the same texts are kept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::{AnyObject, Code, Finding, Findings, Key, Kind, Severity};

use super::input::Text;
use super::mesh::Mesh;
use super::runnable;
use super::system;
use super::world::World;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// `service/reviews created`, in the order of the texts.
    pub lines: Vec<String>,
    /// What is wrong or worth knowing.
    pub findings: Findings,
}

/// How to take objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// New or changed.
    #[default]
    Apply,
    /// New only (`create`).
    Create,
    /// Only say what would happen.
    DryRun,
}

/// Takes objects that users wrote.
pub fn apply(mesh: &Arc<Mesh>, texts: &[Text], namespace: &str, mode: Mode) -> Outcome {
    let mut outcome = Outcome::default();
    let known = mesh.world().manifests();
    let accepted = accept(texts, namespace, known, &mut outcome.findings);
    {
        let mut world = mesh.world();
        keep(&mut world, accepted, mode, &mut outcome);
    }
    if mode != Mode::DryRun {
        remember(mesh);
        mesh.wake();
        mesh.tell();
    }
    outcome
}

/// How many objects of these texts can be taken, and what is wrong with the others.
#[must_use]
pub fn look(texts: &[Text], namespace: &str) -> (usize, Findings) {
    let mut findings = Findings::new();
    let usable = accept(texts, namespace, BTreeSet::new(), &mut findings).len();
    (usable, findings)
}

/// Takes the mesh's own objects.
pub fn install(mesh: &Arc<Mesh>) {
    let text = system::objects(&mesh.paths);
    let parsed = api::parse("system.yaml", &text);
    let mut world = mesh.world();
    for object in parsed.objects {
        world.put(object, None, true);
    }
}

/// Objects without an error, namespaces first, each with its manifest. `manifests` are those of objects taken before.
fn accept(
    texts: &[Text],
    namespace: &str,
    mut manifests: BTreeSet<PathBuf>,
    findings: &mut Findings,
) -> Vec<(AnyObject, PathBuf)> {
    let mut accepted = Vec::new();
    manifests.extend(texts.iter().map(|text| text.path.clone()));
    for text in texts {
        let parsed = api::parse_in(&text.name, &text.text, namespace);
        findings.extend(parsed.findings);
        for object in parsed.objects {
            let mut own = api::honoured::told(&object);
            let (told, manifest) = runnable(&object, &text.path, &manifests);
            own.extend(told);
            let refused = own.has_errors();
            findings.extend(own);
            // An unknown kind has been told by the parser; nothing here would read it.
            if !refused && object.kind() != Kind::Unknown {
                accepted.push((object, manifest));
            }
        }
    }
    accepted.sort_by_key(|(object, _)| object.kind() != Kind::Namespace);
    accepted
}

/// What keeps an object from running, and the manifest beside which its images are known: its own, or else any other,
/// so that objects from standard input and from elsewhere run with the images of what they are added to.
fn runnable(object: &AnyObject, own: &Path, others: &BTreeSet<PathBuf>) -> (Vec<Finding>, PathBuf) {
    let fails = |findings: &[Finding]| findings.iter().any(|finding| finding.severity == Severity::Error);
    let told = runnable::check(object, own);
    if fails(&told) {
        for other in others {
            let again = runnable::check(object, other);
            if !fails(&again) {
                return (again, other.clone());
            }
        }
    }
    (told, own.to_owned())
}

fn keep(world: &mut World, accepted: Vec<(AnyObject, PathBuf)>, mode: Mode, outcome: &mut Outcome) {
    let mut coming: BTreeSet<String> = BTreeSet::new();
    for (object, manifest) in accepted {
        let key = object.key();
        if key.kind == Kind::Namespace {
            coming.insert(key.name.clone());
        }
        let known = |name: &str| world.objects.contains_key(&Key::new(Kind::Namespace, "", name));
        if !key.namespace.is_empty() && !known(&key.namespace) && !coming.contains(&key.namespace) {
            let message = format!(
                "there is no namespace {0}; make it first (meshctl create namespace {0})",
                key.namespace
            );
            let origin = object.origin();
            let finding = Finding::new(Code::BadName, message).severity(Severity::Error);
            outcome.findings.push(finding.about(key).at(&origin.file, origin.line));
            continue;
        }
        let exists = world.objects.contains_key(&key);
        if mode == Mode::Create && exists {
            let message = "it exists already; use apply to change it";
            let origin = object.origin();
            let finding = Finding::new(Code::DuplicateObject, message).severity(Severity::Error);
            outcome.findings.push(finding.about(key).at(&origin.file, origin.line));
            continue;
        }
        let word = if mode == Mode::DryRun {
            world.would(&object)
        } else {
            world.put(object, Some(manifest), false)
        };
        let dry = if mode == Mode::DryRun { " (dry run)" } else { "" };
        outcome.lines.push(format!("{} {word}{dry}", reference(&key)));
    }
}

/// `virtualservice.networking.istio.io/reviews`, as kubectl says it.
#[must_use]
pub fn reference(key: &Key) -> String {
    format!("{}/{}", kind_word(key.kind), key.name)
}

/// `virtualservice.networking.istio.io`.
#[must_use]
pub fn kind_word(kind: Kind) -> String {
    let word = kind.name().to_lowercase();
    if kind.group().is_empty() { word } else { format!("{word}.{}", kind.group()) }
}

/// Keeps what users wrote for the next look, beside the state.
pub fn remember(mesh: &Mesh) {
    let objects: Vec<serde_json::Value> = {
        let world = mesh.world();
        world.objects.values().filter(|stored| !stored.own).map(|stored| stored.object.to_value()).collect()
    };
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
    // A copy for people; the mesh does not need it.
    super::paths::write_whole(&mesh.paths.state.join("objects.json"), list.to_string().as_bytes()).ok();
}
