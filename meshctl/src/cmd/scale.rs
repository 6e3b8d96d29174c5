//! `meshctl scale`: the number of replicas.

use anyhow::Result;
use clap::Args;

use crate::cli::Global;
use crate::local::client::Client;
use crate::local::protocol::{Ask, Which};

/// Change the number of replicas of a workload
#[derive(Debug, Args)]
pub struct Scale {
    /// KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "KIND NAME")]
    words: Vec<String>,
    /// How many
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    replicas: i32,
}

/// Objects named by words of a command line: `KIND NAME...` or `KIND/NAME...`.
#[must_use]
pub fn which(words: Vec<String>, global: &Global) -> Which {
    let namespace = Some(global.namespace().to_owned());
    if words.first().is_some_and(|word| word.contains('/')) {
        return Which { kinds: words, namespace, ..Which::default() };
    }
    let mut words = words.into_iter();
    Which { kinds: words.next().into_iter().collect(), namespace, names: words.collect(), ..Which::default() }
}

impl Scale {
    /// Asks the mesh.
    pub fn run(self, global: &Global) -> Result<i32> {
        let ask = Ask::Scale { which: which(self.words, global), replicas: self.replicas };
        Ok(Client::connect(&global.mesh)?.ask(&ask, &[])?.0)
    }
}
