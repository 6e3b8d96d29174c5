//! `meshctl wait`: until objects are as they should be.
//!
//! In: objects and what is waited for. Out: one line for each, or an error once the time is over.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use super::printed::BadUsage;
use crate::cli::Global;
use crate::local::client::Client;
use crate::local::protocol::{Ask, Which};
use crate::render::{jsonpath, objects};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Wait until objects are as they should be
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    meshctl wait --for=condition=Ready pod -l app=reviews --timeout=30s\n  \
    meshctl wait --for=delete deploy/curl\n  \
    meshctl wait --for=jsonpath='{.status.phase}'=Running pod/NAME")]
pub struct Wait {
    /// KIND NAME, KIND/NAME, or KIND with -l or --all
    #[arg(required = true, value_name = "KIND [NAME]...")]
    words: Vec<String>,
    /// condition=NAME[=VALUE], delete, create, or jsonpath=PATH[=VALUE]
    #[arg(long = "for", required = true, value_name = "WHAT")]
    what: Goal,
    /// How long, such as 30s or 2m
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    timeout: String,
    /// Those with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// All of the kind
    #[arg(long)]
    all: bool,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Goal {
    Delete,
    Create,
    /// A condition of the status, in any case of letters, and its value.
    Condition(String, String),
    /// A path, and its value; without one, any.
    Path(String, Option<String>),
}

impl std::str::FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(condition) = text.strip_prefix("condition=") {
            let (name, value) = condition.split_once('=').unwrap_or((condition, "True"));
            return Ok(Goal::Condition(name.to_lowercase(), value.to_lowercase()));
        }
        if let Some(path) = text.strip_prefix("jsonpath=") {
            // The value is behind the brace that ends the path.
            let (path, value) = match path.rsplit_once("}=") {
                Some((path, value)) => (path, Some(value.trim_matches(['"', '\'']).to_owned())),
                None => (path, None),
            };
            return Ok(Goal::Path(path.trim_matches(['{', '}', '\'']).to_owned(), value));
        }
        match text {
            "delete" => Ok(Goal::Delete),
            "create" => Ok(Goal::Create),
            _ => Err("write condition=NAME, delete, create or jsonpath='{PATH}'=VALUE".to_owned()),
        }
    }
}

impl Goal {
    fn met(&self, object: &Value) -> Result<bool> {
        Ok(match self {
            Goal::Create => true,
            Goal::Delete => false,
            Goal::Condition(name, value) => {
                let list = object["status"]["conditions"].as_array();
                list.into_iter().flatten().any(|one| {
                    let is = |field: &str, text: &str| {
                        one[field].as_str().is_some_and(|own| own.eq_ignore_ascii_case(text))
                    };
                    is("type", name) && is("status", value)
                })
            }
            Goal::Path(path, value) => {
                let found = jsonpath::select(path, object)?;
                found
                    .first()
                    .is_some_and(|own| value.as_ref().is_none_or(|value| jsonpath::word(own) == *value))
            }
        })
    }
}

impl Wait {
    /// Asks the mesh until it is so.
    pub fn run(self, global: &Global) -> Result<i32> {
        let limit = match api::Duration::parse(&self.timeout) {
            Ok(limit) => limit.to_std(),
            Err(error) => bail!(BadUsage(format!("--timeout: {error}"))),
        };
        let mut which = super::scale::which(self.words.clone(), global);
        which.selector.clone_from(&self.selector);
        let one = !which.names.is_empty() || which.kinds.iter().any(|word| word.contains('/'));
        if !one && !self.all && self.selector.is_none() {
            bail!(BadUsage("say which: a name, -l SELECTOR or --all".into()));
        }
        let begin = Instant::now();
        let mut client = Client::connect(&global.mesh)?;
        let first = look(&mut client, &which)?;
        if first.is_empty() && self.what != Goal::Create {
            if self.what == Goal::Delete {
                return Ok(0);
            }
            bail!("no matching resources found");
        }
        let mut waiting = first;
        loop {
            let now = look(&mut client, &which)?;
            if self.what == Goal::Create {
                waiting.clone_from(&now);
            }
            let mut left = Vec::new();
            for object in &waiting {
                let name = objects::reference(object);
                let current = now.iter().find(|other| objects::reference(other) == name);
                match (current, &self.what) {
                    (None, Goal::Delete) => anstream::println!("{name} condition met"),
                    (Some(current), goal) if goal.met(current)? => {
                        anstream::println!("{name} condition met");
                    }
                    _ => left.push(object.clone()),
                }
            }
            if left.is_empty() && !waiting.is_empty() {
                return Ok(0);
            }
            if begin.elapsed() > limit {
                let names: Vec<String> = left.iter().map(objects::reference).collect();
                bail!("timed out after {} waiting for {}", self.timeout, names.join(", "));
            }
            waiting = left;
            std::thread::sleep(PAUSE);
        }
    }
}

/// What there is of them now.
fn look(client: &mut Client, which: &Which) -> Result<Vec<Value>> {
    match client.quiet(&Ask::Get(which.clone()))? {
        Some(Value::Array(found)) => Ok(found),
        _ => bail!("the mesh gave no list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn goals() {
        let object =
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        for (text, met) in [
            ("condition=Ready", true),
            ("condition=ready=true", true),
            ("condition=Ready=False", false),
            ("condition=Available", false),
            ("jsonpath={.status.phase}=Running", true),
            ("jsonpath={.status.phase}", true),
            ("jsonpath={.status.phase}=Pending", false),
            ("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True", true),
            ("create", true),
            ("delete", false),
        ] {
            assert_eq!(text.parse::<Goal>().unwrap().met(&object).unwrap(), met, "{text}");
        }
        assert!("Ready".parse::<Goal>().unwrap_err().contains("condition=NAME"));
    }
}
