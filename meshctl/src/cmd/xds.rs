//! istioctl's flags that say how to reach a control plane over xDS, for the commands that have them there.
//!
//! Pilots are asked on their debug port, through the cluster (or the laptop mesh): nobody needs a certificate, an address
//! or a token for it. `--xds-label` chooses pilots; flags that would mean another way are refused by name.

use anyhow::{Result, bail};
use clap::Args;

use super::printed::BadUsage;
use crate::client::Mesh;

/// Flags of `proxy-status` and `x internal-debug`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Xds {
    /// Labels of the pilots to ask, instead of app=istiod
    #[arg(long, value_name = "LABELS", hide_short_help = true)]
    xds_label: Option<String>,
    #[arg(long, value_name = "HOST:PORT", hide = true)]
    xds_address: Option<String>,
    #[arg(long, value_name = "PORT", hide = true)]
    xds_port: Option<u16>,
    #[arg(long, hide = true)]
    xds_via_agents: bool,
    #[arg(long, value_name = "NUMBER", hide = true)]
    xds_via_agents_limit: Option<u32>,
    #[arg(long, value_name = "NAME", hide = true)]
    authority: Option<String>,
    #[arg(long, value_name = "DIR", hide = true)]
    cert_dir: Option<String>,
    #[arg(long, hide = true)]
    insecure: bool,
    #[arg(long, hide = true)]
    plaintext: bool,
}

impl Xds {
    /// The mesh with the pilots that are meant.
    ///
    /// # Errors
    /// A flag means a way to pilot that is not gone here.
    pub(super) fn on(&self, mesh: Mesh) -> Result<Mesh> {
        let others = [
            ("--xds-address", self.xds_address.is_some()),
            ("--xds-port", self.xds_port.is_some()),
            ("--xds-via-agents", self.xds_via_agents || self.xds_via_agents_limit.is_some()),
            ("--authority", self.authority.is_some()),
            ("--cert-dir", self.cert_dir.is_some()),
            ("--insecure", self.insecure),
            ("--plaintext", self.plaintext),
        ];
        if let Some((name, _)) = others.iter().find(|(_, said)| *said) {
            bail!(BadUsage(format!(
                "{name} has no meaning here: pilots are asked on their debug port, through the cluster; \
                 --istioNamespace, --revision and --xds-label choose which"
            )));
        }
        match &self.xds_label {
            Some(text) => Ok(mesh.pilots_with(labels(text)?)),
            None => Ok(mesh),
        }
    }
}

/// `a=b,c=d`.
pub(super) fn labels(text: &str) -> Result<Vec<(String, String)>> {
    let one = |word: &str| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            Ok((key.trim().to_owned(), value.trim_start_matches('=').trim().to_owned()))
        }
        _ => Err(BadUsage(format!("{word:?} is not KEY=VALUE, such as app=istiod")).into()),
    };
    text.split(',').filter(|word| !word.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_words() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(labels("app=istiod,x==y").unwrap(), [pair("app", "istiod"), pair("x", "y")]);
        assert!(labels("app").unwrap_err().to_string().contains("KEY=VALUE"));
    }
}
