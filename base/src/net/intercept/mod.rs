//! The rules that send a pod's TCP and DNS traffic through the proxy beside it.
//!
//! In: an `Interception`: ports, whose traffic is the proxy's own, what is included and excluded. Out: one nftables table
//! named `mesh` per address family (`rules`, pure), put in force with the routes that it needs (`apply`). Called for
//! every pod with a sidecar: by the laptop mesh on a socket of the pod's namespace, by `pilot-agent istio-iptables`
//! inside a pod.

mod apply;
mod model;
mod rules;

pub use apply::{Applied, clean};
pub use model::{Groups, Interception, Mode, Own};
