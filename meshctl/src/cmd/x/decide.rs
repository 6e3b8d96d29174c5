//! `meshctl x decide`: what a proxy would do with a request, from files alone.

use anyhow::Result;
use clap::Args;

use super::command::plan;
use crate::cmd::printed::{BadUsage, Printed};
use crate::globals::Globals;
use crate::offline::{Answer, Proxy, Request, decide};
use crate::proxy_config::{Form, text};
use crate::render::Table;

/// Say what a proxy would do with a request, from files alone
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  \
    meshctl x decide samples/bookinfo routes.yaml --from deploy/productpage-v1 \\\n      \
    --request 'GET http://reviews:9080/reviews/0' -H 'end-user: jason'")]
pub(super) struct Decide {
    /// Files or folders, as for `up`
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<String>,
    /// The pod that asks, or the gateway that is asked: [TYPE/]POD[.NAMESPACE]
    #[arg(long, value_name = "POD")]
    from: String,
    /// '[METHOD] URL'
    #[arg(long, value_name = "REQUEST")]
    request: String,
    /// 'name: value'
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Draws shares and percentages; another number may draw another share
    #[arg(long, default_value_t = 1, hide_default_value = true)]
    seed: u64,
    /// short, json or yaml
    #[arg(short, long, value_name = "FORM", default_value = "short", hide_default_value = true)]
    output: Form,
}

pub(super) fn run(args: &Decide, globals: &Globals) -> Result<Printed> {
    let request = Request::read(&args.request, &args.headers).map_err(BadUsage)?;
    let (mut plan, problems) = plan(&args.files, globals)?;
    let proxy = Proxy::of_pod(&mut plan, &args.from, globals.said_namespace(), true)?;
    let answer = decide(&proxy, &request, args.seed)?;
    let out = match args.output {
        Form::Short => short(&answer),
        form => text(&serde_json::to_value(&answer)?, form)?,
    };
    Ok(Printed { out, err: problems, code: 0 })
}

fn short(answer: &Answer) -> String {
    let mut table = Table::wide(&[]);
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            table.row([name, value]);
        }
    };
    let status = answer.status.map(|status| format!(" {status}")).unwrap_or_default();
    let target = if answer.cluster.is_empty() { String::new() } else { format!(" to {}", answer.cluster) };
    say("Decision:", &format!("{}{status}{target}", answer.decision));
    say("", &answer.detail);
    let rule = match (answer.object.is_empty(), answer.rule.is_empty()) {
        (false, false) => format!("{} at {}", answer.object, answer.rule),
        (false, true) => answer.object.clone(),
        (true, _) => answer.rule.clone(),
    };
    say("Rule:", &rule);
    lines(&mut say, "Not:", &answer.tried);
    let shares: Vec<String> = answer.shares.iter().map(|(name, weight)| format!("{weight} {name}")).collect();
    lines(&mut say, "Shares:", &shares);
    say("Sent as:", &answer.rewritten);
    lines(&mut say, "Request headers:", &answer.request_headers);
    lines(&mut say, "Response headers:", &answer.response_headers);
    lines(&mut say, "Also:", &answer.also);
    let endpoints: Vec<String> = answer
        .endpoints
        .iter()
        .map(|one| {
            let health = if one.healthy { "" } else { " (unhealthy)" };
            format!("{} {}{health}", one.address, one.workload).trim_end().to_owned()
        })
        .collect();
    lines(&mut say, "Endpoints:", &endpoints);
    say("Virtual host:", &answer.virtual_host);
    say("Route:", &answer.route);
    let chain = if answer.chain.is_empty() { String::new() } else { format!(", chain {}", answer.chain) };
    say("Listener:", &format!("{}{chain}", answer.listener));
    say("Destination:", &answer.destination);
    say("", &answer.note);
    lines(&mut say, "Refused:", &answer.refused);
    table.to_string()
}

/// The first line behind the name, the others below it.
fn lines(say: &mut impl FnMut(&str, &str), name: &str, list: &[String]) {
    for (index, line) in list.iter().enumerate() {
        say(if index == 0 { name } else { "" }, line);
    }
}
