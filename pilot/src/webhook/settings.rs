//! Settings of the webhooks, under the names that istiod's have.
//!
//! In: the command line and the environment. Out: [`Settings`], part of pilot's.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

/// First minor version of Kubernetes 1 whose kubelets run init containers that stay as the mesh needs it.
const NATIVE_SINCE: u32 = 33;

/// Settings of the webhooks.
#[derive(Args, Clone, Debug)]
#[group(id = "webhooks")]
pub struct Settings {
    /// Address of injection and validation, HTTPS
    #[arg(long = "httpsAddr", alias = "https-addr", default_value = ":15017", value_parser = crate::settings::address)]
    pub https: SocketAddr,

    /// Name of this control plane beside others; its webhooks and settings are those of this revision
    #[arg(long, env = "REVISION", default_value = "default", hide_env_values = true)]
    pub revision: String,

    /// Whether pods get a proxy here
    #[arg(long, env = "INJECT_ENABLED", default_value_t = true, action = clap::ArgAction::Set, hide = true)]
    pub inject: bool,

    /// Proxies as init containers that stay; auto: where every node's kubelet is 1.33 or newer
    #[arg(long, env = "ENABLE_NATIVE_SIDECARS", default_value = "auto", hide = true)]
    pub native_sidecars: Native,
}

/// When proxies are init containers that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Native {
    #[value(name = "true")]
    Always,
    #[value(name = "false")]
    Never,
    Auto,
}

impl Native {
    /// Whether pods get them where the kubelets of their nodes have these versions (`v1.33.1`).
    pub fn on<T: AsRef<str>>(self, kubelets: impl IntoIterator<Item = T>) -> bool {
        match self {
            Native::Always => true,
            Native::Never => false,
            Native::Auto => {
                let mut kubelets = kubelets.into_iter().peekable();
                let new = |version: T| minor(version.as_ref()).is_some_and(|minor| minor >= NATIVE_SINCE);
                kubelets.peek().is_some() && kubelets.all(new)
            }
        }
    }
}

/// Minor version of a kubelet: that of `v1.33.1` is 33.
fn minor(version: &str) -> Option<u32> {
    let (major, rest) = version.trim_start_matches('v').split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    // A Kubernetes 2 has what 1.33 has.
    if major.parse::<u32>().ok()? > 1 { Some(u32::MAX) } else { minor.parse().ok() }
}

impl Settings {
    /// What comes after the names of this revision's objects: nothing for the default one.
    #[must_use]
    pub fn suffix(&self) -> String {
        match self.revision.as_str() {
            "" | "default" => String::new(),
            name => format!("-{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kubelet_must_be_new() {
        assert!(Native::Auto.on(["v1.33.1", "v1.34.0-rc.1", "v2.0.0"]));
        assert!(!Native::Auto.on(["v1.33.1", "v1.32.9"]) && !Native::Auto.on(["", "v1.33.1"]));
        assert!(!Native::Auto.on([""; 0]));
        assert!(Native::Always.on(["v1.20.0"]) && !Native::Never.on(["v1.33.1"]));
    }
}
