//! From `Object` to `Valid`: the rules of every kind.
//!
//! `Object::check` collects all findings of an object; only an object without an error becomes `Valid`, and nothing
//! else makes one. `at.rs` knows where a rule is in the object, `rules.rs` has what kinds share, and each other file
//! has the rules of one kind or family.

mod at;
mod authorization;
mod core;
mod destination_rule;
mod entries;
mod extensions;
mod gateway;
mod gateway_api;
mod http_headers;
mod http_route;
mod identity;
mod meta;
mod rules;
mod sidecar;
mod telemetry;
mod tls;
mod virtual_service;

use std::ops::Deref;

pub use at::At;

use crate::finding::Findings;
use crate::kind::{Kind, for_each_kind};
use crate::meta::Meta;
use crate::object::{AnyObject, Object, Spec};

/// The rules of a kind.
pub trait Check: Spec {
    /// Tells everything that is wrong; `at` is the spec.
    fn rules(&self, at: &At<'_>, meta: &Meta);
}

/// An object that broke no rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid<T>(Object<T>);

impl<T> Valid<T> {
    pub fn into_inner(self) -> Object<T> {
        self.0
    }
}

impl<T> Deref for Valid<T> {
    type Target = Object<T>;

    fn deref(&self) -> &Object<T> {
        &self.0
    }
}

impl<T: Check> Object<T> {
    /// Applies the rules of the kind. Findings below `Error` do not stop it from being valid.
    pub fn check(self, findings: &mut Findings) -> Option<Valid<T>> {
        let found = self.findings();
        let refused = found.has_errors();
        findings.extend(found);
        (!refused).then_some(Valid(self))
    }

    /// What `check` would find.
    pub fn findings(&self) -> Findings {
        at::run(self)
    }
}

macro_rules! check_any {
    ($( $variant:ident $module:ident :: $type:ident, $group:literal [$($version:literal),*] $name:literal $plural:literal
        [$($short:literal),*] $scope:ident $family:ident $shape:ident; )*) => {
        impl AnyObject {
            /// What `check` would find for its kind; nothing for unknown kinds.
            pub fn findings(&self) -> Findings {
                match self {
                    $( AnyObject::$variant(object) => object.findings(), )*
                    AnyObject::Unknown(_) => Findings::new(),
                }
            }
        }
    };
}

for_each_kind!(check_any);

/// Whether names of a kind must be a single DNS label.
fn label_name(kind: Kind) -> bool {
    matches!(kind, Kind::Service | Kind::Namespace)
}
