//! Whether a workload can run on this machine, and which of its fields mean nothing here.
//!
//! In: an object and where its manifest lies. Out: findings; an error where nothing could be started for a container.
//! Called when objects are taken. What a mesh reads is checked in `api` already.

use std::path::Path;

use api::core::{Container, Pod, Service};
use api::{AnyObject, Code, FieldPath, Finding, Severity};

use super::images;
use super::workloads::template_of;

/// Everything to say about an object.
pub fn check(object: &AnyObject, manifest: &Path) -> Vec<Finding> {
    let about = About { object };
    let (spec, root) = match object {
        AnyObject::Service(service) => return about.service(&service.spec),
        AnyObject::CronJob(_) => {
            return vec![about.error(
                Code::UnknownKind,
                "kind",
                "a laptop mesh runs no CronJobs; make a Job of it",
            )];
        }
        AnyObject::Pod(pod) => (&pod.spec, "spec"),
        other => match template_of(other) {
            Some(template) => (&template.spec, "spec.template.spec"),
            None => return Vec::new(),
        },
    };
    let mut found = about.workload();
    found.extend(about.pod(spec, root, manifest));
    found
}

/// Whose findings they are.
struct About<'a> {
    object: &'a AnyObject,
}

impl About<'_> {
    fn finding(&self, code: Code, severity: Severity, path: &str, message: &str) -> Finding {
        let (origin, path) = (self.object.origin(), FieldPath::parse(path));
        let line = origin.line_of(&path);
        let finding = Finding::new(code, message.to_owned()).severity(severity);
        finding.about(self.object.key()).at(&origin.file, line).field(path)
    }

    fn error(&self, code: Code, path: &str, message: &str) -> Finding {
        self.finding(code, Severity::Error, path, message)
    }

    /// A field that has no effect.
    fn idle(&self, path: &str, message: &str) -> Finding {
        self.finding(Code::UnknownField, Severity::Warning, path, message)
    }

    fn service(&self, service: &Service) -> Vec<Finding> {
        let mut found = Vec::new();
        if service.session_affinity == "ClientIP" {
            let message = "a laptop mesh chooses a pod per connection, whoever asks";
            found.push(self.idle("spec.sessionAffinity", message));
        }
        for (index, port) in service.ports.iter().enumerate() {
            if port.protocol == "SCTP" {
                let path = format!("spec.ports[{index}].protocol");
                found.push(self.idle(&path, "a laptop mesh carries TCP and UDP only"));
            }
        }
        found
    }

    /// Fields of workloads that are about when and how pods are replaced.
    fn workload(&self) -> Vec<Finding> {
        let mut idle: Vec<(&str, &str)> = Vec::new();
        match self.object {
            AnyObject::Deployment(object) => {
                let strategy = object.spec.strategy.as_ref().map(|strategy| strategy.strategy_type.as_str());
                if strategy == Some("Recreate") {
                    idle.push((
                        "spec.strategy.type",
                        "a laptop mesh starts new pods before it ends the old ones",
                    ));
                }
                if object.spec.paused {
                    idle.push(("spec.paused", "a laptop mesh rolls every change out at once"));
                }
            }
            AnyObject::Job(object) => {
                if object.spec.active_deadline_seconds.is_some() {
                    idle.push((
                        "spec.activeDeadlineSeconds",
                        "a laptop mesh lets a Job take as long as it likes",
                    ));
                }
                if object.spec.ttl_seconds_after_finished.is_some() {
                    idle.push((
                        "spec.ttlSecondsAfterFinished",
                        "a laptop mesh keeps a Job until it is deleted",
                    ));
                }
                if object.spec.completion_mode.as_deref() == Some("Indexed") {
                    idle.push(("spec.completionMode", "a laptop mesh does not number the pods of a Job"));
                }
            }
            _ => {}
        }
        idle.into_iter().map(|(path, message)| self.idle(path, message)).collect()
    }

    fn pod(&self, spec: &Pod, root: &str, manifest: &Path) -> Vec<Finding> {
        let mut found = Vec::new();
        for (list, containers) in
            [("initContainers", &spec.init_containers), ("containers", &spec.containers)]
        {
            for (index, container) in containers.iter().enumerate() {
                found.extend(self.program(container, &format!("{root}.{list}[{index}]"), manifest));
            }
        }
        if spec.host_network {
            let message = "a laptop mesh gives every pod a network of its own";
            found.push(self.idle(&format!("{root}.hostNetwork"), message));
        }
        found
    }

    /// There must be something to run for a container.
    fn program(&self, container: &Container, path: &str, manifest: &Path) -> Option<Finding> {
        if container.image == "auto" {
            return None;
        }
        let run = images::program(&container.image, &container.command, &container.args, Some(manifest));
        let error = run.err()?;
        let field = if container.image.is_empty() { "" } else { ".image" };
        Some(self.error(Code::Required, &format!("{path}{field}"), &format!("{error:#}")))
    }
}
