//! Carrying out `istio-iptables` and `istio-clean-iptables`.
//!
//! In: words and environment. Out: rules in force or gone, or an exit code with a reason that says what to change.

use std::path::Path;
use std::process::ExitCode;

use base::net::Refused;
use base::net::intercept;
use base::net::nft::Family;
use base::settings::Settings as Environment;
use base::telemetry;

use super::flags::{HELP, Texts};
use super::options::Options;
use super::validate;

/// Exit code of rules that do not do what they should, as Istio's: `istio-cni` repairs pods by it.
pub const INVALID: u8 = 126;

/// `istio-iptables`
pub fn install(words: &[String]) -> ExitCode {
    command("istio-iptables", words, |options| {
        if options.clean_only {
            return remove(options);
        }
        put(options)
    })
}

/// `istio-clean-iptables`
pub fn clean(words: &[String]) -> ExitCode {
    command("istio-clean-iptables", words, remove)
}

fn command(
    name: &str,
    words: &[String],
    work: impl FnOnce(&Options) -> Result<(), (u8, String)>,
) -> ExitCode {
    let fail = |code: u8, reason: &str| {
        eprintln!("{name}: {reason}");
        ExitCode::from(code)
    };
    let mut env = Environment::from_env();
    let texts = match Texts::read(words, &mut env) {
        Ok(texts) => texts,
        Err(error) => return fail(2, &error),
    };
    if texts.is_set("help") == Ok(true) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let logging = telemetry::Options {
        levels: texts.get("log_output_level").to_owned(),
        json: texts.is_set("log_as_json") == Ok(true),
        own_crates: &["proxy", "base"],
    };
    if let Err(error) = telemetry::init(&logging) {
        return fail(2, &format!("--log_output_level: {error}"));
    }
    // Where the pod's files cannot be put in their places, they are below this folder.
    let root = env.text("POD_FILES").unwrap_or_else(|| "/".into());
    let options = match Options::read(&texts, &mut env, Path::new(&root)) {
        Ok(options) => options,
        Err(error) => return fail(2, &error),
    };
    for note in &options.notes {
        tracing::warn!("{note}");
    }
    match work(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, reason)) => fail(code, &reason),
    }
}

fn put(options: &Options) -> Result<(), (u8, String)> {
    let text = options.rules.rules(&[Family::Ip, Family::Ip6], options.rules.dns.is_some()).to_string();
    if options.dry_run {
        print!("{text}");
        if let Some(path) = &options.dry_run_file {
            std::fs::write(path, &text).map_err(|error| (1, format!("{}: {error}", path.display())))?;
        }
        return Ok(());
    }
    if !options.skip_apply {
        let applied = options.rules.install().map_err(|refused| (1, explain(&refused)))?;
        let which = if applied.ipv6 { "IPv4 and IPv6" } else { "IPv4; there is no IPv6 here" };
        tracing::info!("traffic is intercepted ({which}) by these rules:\n{text}");
        if options.rules.dns.is_some() && !applied.zones {
            tracing::warn!("this kernel has no connection tracking zones; DNS shares one with other traffic");
        }
    }
    if options.validate {
        let outcome = validate::run(&options.rules, options.probe_port, options.probe_timeout);
        match outcome {
            Ok(said) => tracing::info!("the rules work: {said}"),
            Err(error) => return Err((INVALID, format!("the rules do not work: {error}"))),
        }
    }
    Ok(())
}

fn remove(options: &Options) -> Result<(), (u8, String)> {
    if options.dry_run {
        println!("delete table ip mesh\ndelete table ip6 mesh");
        return Ok(());
    }
    let (mark, table) = options.kept;
    intercept::clean(mark, table).map_err(|refused| (1, explain(&refused)))?;
    tracing::info!("rules, routes and addresses of interception are removed");
    Ok(())
}

/// What was refused, and what to do about it.
fn explain(refused: &Refused) -> String {
    let advice = match refused.source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "the capability NET_ADMIN is missing in this network namespace. The injected init container asks for it \
             (securityContext.capabilities.add: NET_ADMIN, NET_RAW): the namespace's Pod Security level must be \
             privileged, or no other policy may take it away"
        }
        Some(
            libc::EPROTONOSUPPORT
            | libc::EAFNOSUPPORT
            | libc::EOPNOTSUPP
            | libc::ENOENT
            | libc::ENOSYS
            | libc::EINVAL,
        ) => {
            "the kernel of this node lacks a part of nf_tables. Needed are nf_tables, nft_chain_nat, nft_redir and \
             nft_ct, for TPROXY also nft_tproxy: load them with modprobe on the node"
        }
        _ => return refused.to_string(),
    };
    format!("{refused}\n{advice}")
}
