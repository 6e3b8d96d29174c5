//! Settings of the webhooks, under the names that istiod's have.
//!
//! In: the command line and the environment. Out: [`Settings`], part of pilot's.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

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
