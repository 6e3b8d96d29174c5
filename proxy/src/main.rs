//! `proxy`: the data-plane proxy, beside a workload or as a gateway.
//!
//! In: arguments and environment (`settings`). Out: one run (`app`), one question to a running proxy (`ask`), rules of
//! interception (`intercept`), or a checked bootstrap. Its exit code is the process's.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use base::telemetry;
use proxy::settings::{Command, Flags, HELP, Settings, VERSION, parse};
use proxy::{app, ask, intercept};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // These have flags of their own.
    match arguments.split_first() {
        Some((command, words)) if command == "istio-iptables" => return intercept::install(words),
        Some((command, words)) if command == "istio-clean-iptables" => return intercept::clean(words),
        _ => {}
    }
    proxy::tls::install();
    let flags = match parse(&arguments) {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("proxy: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    proxy::listen::live_at(&std::env::var("INSTANCE_IP").unwrap_or_default());
    match &flags.command {
        Command::Help => {
            print!("{HELP}");
            return Ok(());
        }
        Command::Version => {
            println!("proxy {VERSION}");
            return Ok(());
        }
        Command::Request { port, method, path, body } => return ask::request(*port, method, path, body),
        Command::Wait { url, timeout, period, patience } => {
            return ask::wait(url, *timeout, *period, *patience);
        }
        Command::Serve | Command::Validate | Command::Agent { .. } => {}
    }
    let mut environment = base::settings::Settings::from_env();
    // Where the pod's files cannot be put in their places, they are below this folder.
    let root = std::env::var_os("POD_FILES").unwrap_or_else(|| "/".into());
    let settings = Settings::read(flags, &mut environment, Path::new(&root))?;
    environment.finish()?;
    if flags.command == Command::Validate {
        if let proxy::settings::Source::Bootstrap(bootstrap) = &settings.source {
            app::validate(bootstrap)?;
        }
        println!("configuration OK");
        return Ok(());
    }
    let options = telemetry::Options {
        levels: flags.log_levels(),
        json: flags.is_set("log_as_json"),
        own_crates: &["proxy"],
    };
    let levels = telemetry::init(&options).context("log level")?;
    if !flags.ignored.is_empty() {
        tracing::info!(flags = flags.ignored.join(" "), "these flags have no meaning here");
    }
    app::run(settings, app::Extras { levels: Some(levels), ..app::Extras::default() })
}
