//! `cargo xtask fuzz`: the fuzzers of `fuzz/`, one after the other, for a bounded time each.
//!
//! In: names of targets (all, if none), `--seconds N`, `--forever`, `--keep`; or one target and files, which it is given
//! once. Out: what libFuzzer says, and what to do with an input that fails. With `--keep` the saved corpus takes what
//! reaches new code, and only that. They are built with the compiler of every other program: coverage is a pass of LLVM,
//! and no sanitizer is needed where no code is unsafe.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// Seconds for each target.
const USUAL: u64 = 60;
/// Inputs longer than this find nothing that shorter ones do not.
const LONGEST: &str = "4096";
/// What libFuzzer needs to see of a program.
const COVERAGE: [&str; 4] = [
    "-sanitizer-coverage-level=4",
    "-sanitizer-coverage-inline-8bit-counters",
    "-sanitizer-coverage-pc-table",
    "-sanitizer-coverage-trace-compares",
];

/// What was asked for.
struct Wanted {
    seconds: u64,
    keep: bool,
    forever: bool,
    targets: Vec<String>,
    inputs: Vec<String>,
}

/// The command.
pub(crate) fn fuzz(args: &[String]) -> Result<()> {
    let wanted = wanted(args)?;
    let programs = build(&wanted.targets)?;
    if let ([name], [_, ..]) = (&wanted.targets[..], &wanted.inputs[..]) {
        return sh::run(Command::new(programs.join(name)).args(&wanted.inputs));
    }
    loop {
        let mut failed = Vec::new();
        for name in &wanted.targets {
            let program = programs.join(name);
            println!("\n=== {name}: {} s", wanted.seconds);
            if run(name, &program, wanted.seconds).is_err() {
                failed.push(name.as_str());
            } else if wanted.keep {
                merge(name, &program)?;
            }
        }
        match failed[..] {
            [] if wanted.forever => {}
            [] => return Ok(()),
            _ => bail!("{}", advice(&failed)),
        }
    }
}

fn wanted(args: &[String]) -> Result<Wanted> {
    let all = targets()?;
    let mut wanted =
        Wanted { seconds: USUAL, keep: false, forever: false, targets: Vec::new(), inputs: Vec::new() };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let number = words.next().context("--seconds N")?;
                wanted.seconds = number.parse().context("--seconds")?;
            }
            "--keep" => wanted.keep = true,
            "--forever" => wanted.forever = true,
            name if all.iter().any(|target| target == name) => wanted.targets.push(name.to_owned()),
            file if Path::new(file).is_file() => wanted.inputs.push(file.to_owned()),
            other => bail!("{other} is neither a file nor a fuzz target; there are {}", all.join(" ")),
        }
    }
    if !wanted.inputs.is_empty() && wanted.targets.len() != 1 {
        bail!("name the one target that the files are for");
    }
    if wanted.targets.is_empty() {
        wanted.targets = all;
    }
    Ok(wanted)
}

/// What to do about inputs that broke something.
fn advice(failed: &[&str]) -> String {
    let mut text = String::from("inputs were found that break a promise:");
    for name in failed {
        let newest = std::fs::read_dir(folder().join("artifacts").join(name)).ok().and_then(|files| {
            let dated = files
                .flatten()
                .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())));
            dated.max().map(|(_, path)| path.display().to_string())
        });
        let file = newest.unwrap_or_else(|| format!("a file in fuzz/artifacts/{name}"));
        text.push_str(&format!("\n  {name}: {file}\n     again: cargo xtask fuzz {name} {file}"));
        text.push_str(&format!(
            "\n     when mended: copy it to fuzz/corpus/{name}/ under a name that says what it was"
        ));
    }
    text + "\n`cargo xtask test hostile` gives the saved corpus to every target from then on."
}

fn folder() -> PathBuf {
    sh::root().join("fuzz")
}

fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder().join("fuzz_targets")).context("fuzz/fuzz_targets")? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Builds the fuzzers; gives the folder that they are in.
fn build(names: &[String]) -> Result<PathBuf> {
    let host = crate::image::target()?;
    let target = sh::target_dir().join("fuzz");
    let mut cargo = sh::cargo();
    cargo.current_dir(folder()).args(["build", "--release", "--target", &host]);
    cargo.args(names.iter().flat_map(|name| ["--bin", name]));
    let passes = ["-Cpasses=sancov-module".to_owned()].into_iter();
    let flags: Vec<String> = passes.chain(COVERAGE.map(|flag| format!("-Cllvm-args={flag}"))).collect();
    cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_INCREMENTAL", "0");
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    sh::run(&mut cargo)?;
    Ok(target.join(host).join("release"))
}

/// What was found in earlier runs on this machine.
fn found(name: &str) -> Result<PathBuf> {
    let found = sh::target_dir().join("fuzz/found").join(name);
    std::fs::create_dir_all(&found)?;
    Ok(found)
}

fn saved(name: &str) -> PathBuf {
    folder().join("corpus").join(name)
}

fn run(name: &str, program: &PathBuf, seconds: u64) -> Result<()> {
    let artifacts = folder().join("artifacts").join(name);
    std::fs::create_dir_all(&artifacts)?;
    let mut fuzzer = Command::new(program);
    fuzzer.arg(found(name)?).arg(saved(name));
    fuzzer.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={LONGEST}"));
    // An input that takes seconds or a GiB is a failure too.
    fuzzer.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
    sh::run(&mut fuzzer)
}

/// Puts the smallest set of inputs with the same coverage in the place of the saved corpus.
fn merge(name: &str, program: &PathBuf) -> Result<()> {
    let fresh = sh::target_dir().join("fuzz/merged").join(name);
    std::fs::remove_dir_all(&fresh).ok();
    std::fs::create_dir_all(&fresh)?;
    let mut fuzzer = Command::new(program);
    // By the code that is reached, not by how often.
    fuzzer
        .args(["-merge=1", "-use_counters=0", &format!("-max_len={LONGEST}")])
        .arg(&fresh)
        .arg(saved(name))
        .arg(found(name)?);
    sh::run(&mut fuzzer)?;
    std::fs::remove_dir_all(saved(name))?;
    sh::run(Command::new("cp").arg("-r").arg(&fresh).arg(saved(name)))
}
