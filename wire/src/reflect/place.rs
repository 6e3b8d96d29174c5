//! Where in a document something is wrong.
//!
//! In: the steps from the top of the document, as its reader goes down. Out: a [`Mismatch`] with the path as text. A
//! place costs nothing until something is wrong there. Called by `from_json` and `any`.

use std::cell::RefCell;
use std::fmt::Write;

use serde::de::Error;

/// What does not fit, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct Mismatch {
    /// Path of the field, `static_resources.clusters[0].name`.
    pub path: String,
    /// What is wrong and what is expected.
    pub reason: String,
}

/// Where in the document we are: a chain on the stack, made into text only for an error.
pub(super) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
    /// Where an error is put: those of serde carry no path.
    fault: &'a RefCell<Option<Mismatch>>,
}

#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Place<'a> {
    pub(super) fn root(fault: &'a RefCell<Option<Mismatch>>) -> Self {
        Place { parent: None, step: Step::Root, fault }
    }

    pub(super) fn at(&'a self, step: Step<'a>) -> Place<'a> {
        Place { parent: Some(self), step, fault: self.fault }
    }

    /// Ends the reading with this error.
    pub(super) fn fail<T, E: Error>(&self, reason: impl Into<String>) -> Result<T, E> {
        let mut path = String::new();
        self.path(&mut path);
        *self.fault.borrow_mut() = Some(Mismatch { path, reason: reason.into() });
        Err(E::custom("see the fault"))
    }

    fn path(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.path(out);
        }
        match self.step {
            Step::Root => {}
            Step::Field(name) if out.is_empty() => out.push_str(name),
            Step::Field(name) => out.extend([".", name]),
            Step::Index(at) => write!(out, "[{at}]").expect("text takes any text"),
            Step::Key(key) => write!(out, "[{key:?}]").expect("text takes any text"),
        }
    }
}
