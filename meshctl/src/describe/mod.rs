//! `meshctl describe`: what the mesh does for one pod or Service, in words and with istioctl's headings.
//!
//! In: the objects of the mesh, understood by pilot's own code (`pilot::offline`), and the policies that a proxy has. Out:
//! text. Pure; who gathers is `cmd::describe`. `pod` and `service` are the two pages, `rules` tells a DestinationRule and
//! the routes to a service, `edge` how they are reached from outside.

mod common;
mod edge;
mod pod;
mod rules;
mod service;

pub use pod::{Told, pod};
pub use service::service;
