//! The seam: `Object::check` makes `Valid`, and nothing else does.
//!
//! Called by pilot, meshctl and admission. All rules of a kind run and tell what they find; an object with an error
//! does not get through.

use std::ops::Deref;

use super::at::{self, At};
use crate::finding::Findings;
use crate::kind::for_each_kind;
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
