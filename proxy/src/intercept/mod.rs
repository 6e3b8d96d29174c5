//! `pilot-agent istio-iptables` and `istio-clean-iptables`: the rules that send a pod's traffic through this proxy.
//!
//! In: the words and the environment that an injector gives to the init container. Out: nftables rules in the pod's
//! network namespace (by `base::net::intercept`), the same rules as text (`--dry-run`), or why not. Called by `main`;
//! nothing of it runs in the proxy itself.

mod flags;
mod options;
mod run;
#[cfg(test)]
mod tests;
mod validate;

pub use run::{INVALID, clean, install};
