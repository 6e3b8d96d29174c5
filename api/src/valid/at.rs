//! Where a rule is while it looks at an object: the path of the field, and the place where its findings go.
//!
//! `At` is passed down by value borrow: `at.key("http").index(2)` costs nothing until something is found.

use std::cell::RefCell;

use super::{Check, meta};
use crate::finding::{Code, Finding, Findings, Severity};
use crate::kind::Shape;
use crate::object::{Key, Object, Origin};
use crate::path::{FieldPath, Step};

/// A field of the object that is checked.
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Here<'a>,
    sink: &'a Sink<'a>,
}

#[derive(Clone, Copy)]
enum Here<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

struct Sink<'a> {
    key: Key,
    origin: &'a Origin,
    findings: RefCell<Findings>,
}

/// All findings of an object: its metadata first, then its spec.
pub(super) fn run<T: Check>(object: &Object<T>) -> Findings {
    let sink = Sink { key: object.key(), origin: &object.origin, findings: RefCell::default() };
    let root = At { parent: None, step: Here::Root, sink: &sink };
    meta::rules(&object.meta, T::KIND, &root.key("metadata"));
    match T::KIND.row().shape {
        Shape::Spec => object.spec.rules(&root.key("spec"), &object.meta),
        Shape::Flat => object.spec.rules(&root, &object.meta),
    }
    sink.findings.into_inner()
}

impl<'a> At<'a> {
    /// A field of this one.
    pub fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At { parent: Some(self), step: Here::Key(key), sink: self.sink }
    }

    /// An item of this list.
    pub fn index(&self, index: usize) -> At<'_> {
        At { parent: Some(self), step: Here::Index(index), sink: self.sink }
    }

    /// Every item of a list with its place.
    pub fn each<'t, T>(&self, items: &'t [T], mut rule: impl FnMut(&At<'_>, &'t T)) {
        for (index, item) in items.iter().enumerate() {
            rule(&self.index(index), item);
        }
    }

    /// Tells a finding of the code's usual severity.
    pub fn tell(&self, code: Code, message: impl Into<String>) {
        self.tell_as(code, code.severity(), message);
    }

    /// Tells a finding of another severity.
    pub fn tell_as(&self, code: Code, severity: Severity, message: impl Into<String>) {
        let path = self.path();
        let origin = self.sink.origin;
        let finding = Finding::new(code, message)
            .severity(severity)
            .about(self.sink.key.clone())
            .at(&origin.file, origin.line_of(&path))
            .field(path);
        self.sink.findings.borrow_mut().push(finding);
    }

    /// Tells a finding unless the condition holds; gives the condition back.
    pub fn must(&self, holds: bool, code: Code, message: impl FnOnce() -> String) -> bool {
        if !holds {
            self.tell(code, message());
        }
        holds
    }

    fn path(&self) -> FieldPath {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(here) = at {
            match here.step {
                Here::Root => {}
                Here::Key(key) => steps.push(Step::Key(key.to_owned())),
                Here::Index(index) => steps.push(Step::Index(index)),
            }
            at = here.parent;
        }
        steps.reverse();
        FieldPath(steps)
    }
}
