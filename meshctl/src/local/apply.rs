//! Accepting objects: parse, check, see that they can run here, keep.
//!
//! In: texts from `up` and `apply`. Out: a line per object that was kept, and every finding. An object with an error
//! is refused and its last good version stays; the others of the same texts are kept.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use api::{AnyObject, Code, FieldPath, Finding, Findings, Key, Kind, Severity};

use super::input::Text;
use super::mesh::Mesh;
use super::system;
use super::workloads::template_of;
use super::{images, world::World};

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
    let accepted = accept(texts, namespace, &mut outcome.findings);
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

/// Takes the mesh's own objects.
pub fn install(mesh: &Arc<Mesh>) {
    let text = system::objects(&mesh.paths);
    let parsed = api::parse("system.yaml", &text);
    let mut world = mesh.world();
    for object in parsed.objects {
        world.put(object, None, true);
    }
}

/// Objects without an error, namespaces first, each with its manifest.
fn accept(texts: &[Text], namespace: &str, findings: &mut Findings) -> Vec<(AnyObject, PathBuf)> {
    let mut accepted = Vec::new();
    for text in texts {
        let parsed = api::parse_in(&text.name, &text.text, namespace);
        findings.extend(parsed.findings);
        for object in parsed.objects {
            let mut own = object.findings();
            own.extend(runnable(&object, &text.path));
            let refused = own.has_errors();
            findings.extend(own);
            // An unknown kind has been told by the parser; nothing here would read it.
            if !refused && object.kind() != Kind::Unknown {
                accepted.push((object, text.path.clone()));
            }
        }
    }
    accepted.sort_by_key(|(object, _)| object.kind() != Kind::Namespace);
    accepted
}

/// Whether a workload can run on this machine.
fn runnable(object: &AnyObject, manifest: &std::path::Path) -> Vec<Finding> {
    let origin = object.origin();
    let finding = |code: Code, severity: Severity, path: FieldPath, message: String| {
        let line = origin.line_of(&path);
        Finding::new(code, message).severity(severity).about(object.key()).at(&origin.file, line).field(path)
    };
    let warn = |path: &str, message: &str| {
        finding(Code::UnknownField, Severity::Warning, FieldPath::parse(path), message.to_owned())
    };
    let (spec, root) = match object {
        AnyObject::Service(service) => {
            let mut found = Vec::new();
            if service.spec.session_affinity == "ClientIP" {
                found.push(warn(
                    "spec.sessionAffinity",
                    "a laptop mesh chooses a pod per connection, whoever asks",
                ));
            }
            for (index, _) in
                service.spec.ports.iter().enumerate().filter(|(_, port)| port.protocol == "SCTP")
            {
                found.push(warn(
                    &format!("spec.ports[{index}].protocol"),
                    "a laptop mesh carries TCP and UDP only",
                ));
            }
            return found;
        }
        AnyObject::Pod(pod) => (&pod.spec, "spec"),
        AnyObject::CronJob(_) => {
            let message = "a laptop mesh runs no CronJobs; make a Job of it".to_owned();
            return vec![finding(Code::UnknownKind, Severity::Error, FieldPath::parse("kind"), message)];
        }
        other => match template_of(other) {
            Some(template) => (&template.spec, "spec.template.spec"),
            None => return Vec::new(),
        },
    };
    let mut found = Vec::new();
    for (list, containers) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
        for (index, container) in containers.iter().enumerate() {
            if container.image == "auto" {
                continue;
            }
            let run = images::program(&container.image, &container.command, &container.args, Some(manifest));
            if let Err(error) = run {
                let field = if container.image.is_empty() { "" } else { ".image" };
                let path = FieldPath::parse(&format!("{root}.{list}[{index}]{field}"));
                found.push(finding(Code::Required, Severity::Error, path, format!("{error:#}")));
            }
            let probes = [
                ("startupProbe", &container.startup_probe),
                ("readinessProbe", &container.readiness_probe),
                ("livenessProbe", &container.liveness_probe),
            ];
            for (name, probe) in probes.into_iter().filter_map(|(name, probe)| Some((name, probe.as_ref()?)))
            {
                let https =
                    probe.http_get.as_ref().is_some_and(|get| get.scheme.eq_ignore_ascii_case("HTTPS"));
                if https || probe.grpc.is_some() {
                    let path = format!("{root}.{list}[{index}].{name}");
                    found.push(warn(&path, "of HTTPS and gRPC probes only the connection is tried here"));
                }
            }
        }
    }
    if spec.host_network {
        let path = FieldPath::parse(&format!("{root}.hostNetwork"));
        let message = "a laptop mesh gives every pod a network of its own".to_owned();
        found.push(finding(Code::UnknownField, Severity::Warning, path, message));
    }
    found
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
            if exists { "configured (dry run)" } else { "created (dry run)" }
        } else {
            world.put(object, Some(manifest), false)
        };
        outcome.lines.push(format!("{} {word}", reference(&key)));
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
