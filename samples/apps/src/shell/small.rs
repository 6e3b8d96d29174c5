//! The small programs by name: `sh`, `sleep`, `date`, `echo`, `seq`, `cat`, `env`, `true`, `false`.
//!
//! In: the process's arguments. Out: an exit status. They do what their namesakes do without flags (`echo -n`, `sleep
//! infinity`); other flags are refused by name.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::run::Shell;
use crate::net::ended;

/// Names that are ours whether or not the machine has such a program.
pub(super) const NAMES: &[&str] = &["sh", "sleep", "date", "echo", "seq", "cat", "env", "true", "false"];

/// Runs the small program that this process was called as, by a link or as `mesh-samples NAME`.
pub fn called(args: &[OsString]) -> Option<ExitCode> {
    let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let own = words.first().and_then(|first| Path::new(first).file_name()?.to_str())?;
    let (name, rest) = if NAMES.contains(&own) {
        (own, words.get(1..)?)
    } else {
        let name = words.get(1).filter(|name| own == "mesh-samples" && NAMES.contains(&name.as_str()))?;
        (name.as_str(), words.get(2..)?)
    };
    let done = match name {
        "sh" => Ok(sh(rest)),
        "sleep" => sleep(rest),
        "date" => date(rest),
        "echo" => echo(rest),
        "seq" => seq(rest),
        "cat" => cat(rest),
        "env" => env(rest),
        "true" => Ok(0),
        _ => Ok(1),
    };
    Some(ExitCode::from(done.unwrap_or_else(|error| {
        eprintln!("{name}: {error}");
        2
    })))
}

/// The file of this program, for another process of it.
pub(super) fn myself() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("where this program is: {error}"))
}

/// `sh -c SCRIPT`, `sh FILE`, or lines of standard input, each run when it is complete.
fn sh(args: &[String]) -> u8 {
    let mut shell = Shell::default();
    let status = match args {
        [flag, script] if flag == "-c" => shell.script(script),
        [] => return lines(&mut shell),
        [file] if !file.starts_with('-') => match std::fs::read_to_string(file) {
            Ok(script) => shell.script(&script),
            Err(error) => {
                eprintln!("sh: {file}: {error}");
                127
            }
        },
        other => {
            eprintln!("sh: {} is not known; sh -c SCRIPT is", other.join(" "));
            2
        }
    };
    status.to_le_bytes()[0]
}

fn lines(shell: &mut Shell) -> u8 {
    let prompt = || {
        if std::io::stdin().is_terminal() {
            eprint!("$ ");
        }
    };
    let mut status = 0;
    prompt();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        status = shell.script(&line);
        if shell.ended() {
            break;
        }
        prompt();
    }
    status.to_le_bytes()[0]
}

/// `sleep SECONDS`, `sleep 1m`, `sleep infinity`. As the first process of a container it still ends on SIGTERM.
fn sleep(args: &[String]) -> Result<u8, String> {
    let [text] = args else { return Err("one argument: seconds, 1m, 2h, 3d or infinity".into()) };
    let time = span(text).ok_or_else(|| format!("{text} is no time"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        tokio::select! {
            () = async { match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            } } => Ok(0),
            () = ended() => Ok(128 + 15),
        }
    })
}

/// None: for ever.
fn span(text: &str) -> Option<Option<Duration>> {
    if matches!(text, "infinity" | "inf") {
        return Some(None);
    }
    let (number, unit) = match text.char_indices().next_back()? {
        (at, 's') => (text.get(..at)?, 1.0),
        (at, 'm') => (text.get(..at)?, 60.0),
        (at, 'h') => (text.get(..at)?, 3600.0),
        (at, 'd') => (text.get(..at)?, 86400.0),
        _ => (text, 1.0),
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok().map(Some)
}

/// The time in UTC, in the form of a C locale; `+%s`: seconds since 1970.
fn date(args: &[String]) -> Result<u8, String> {
    let now = jiff::Timestamp::now();
    match args {
        [] => say(&format!("{}\n", now.strftime("%a %b %e %H:%M:%S UTC %Y"))),
        [format] if format.starts_with('+') => {
            let format = format.trim_start_matches('+');
            let text = jiff::fmt::strtime::format(format, now).map_err(|error| error.to_string())?;
            say(&format!("{text}\n"))
        }
        other => Err(format!("{} is not known; date and date +FORMAT are", other.join(" "))),
    }
}

fn echo(args: &[String]) -> Result<u8, String> {
    let (end, words) = match args.split_first() {
        Some((flag, rest)) if flag == "-n" => ("", rest),
        _ => ("\n", args),
    };
    say(&format!("{}{end}", words.join(" ")))
}

/// `seq LAST`, `seq FIRST LAST`.
fn seq(args: &[String]) -> Result<u8, String> {
    let numbers: Vec<i64> = args.iter().map_while(|arg| arg.parse().ok()).collect();
    let (first, last) = match numbers[..] {
        [last] if args.len() == 1 => (1, last),
        [first, last] if args.len() == 2 => (first, last),
        _ => return Err("one or two whole numbers: [FIRST] LAST".into()),
    };
    say(&(first..=last).map(|number| format!("{number}\n")).collect::<String>())
}

fn cat(args: &[String]) -> Result<u8, String> {
    let mut out = std::io::stdout().lock();
    if args.is_empty() {
        return std::io::copy(&mut std::io::stdin().lock(), &mut out).map(|_| 0).map_err(|e| e.to_string());
    }
    for name in args {
        let mut file = std::fs::File::open(name).map_err(|error| format!("{name}: {error}"))?;
        std::io::copy(&mut file, &mut out).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(0)
}

fn env(args: &[String]) -> Result<u8, String> {
    if !args.is_empty() {
        return Err("only without arguments: it prints the environment".into());
    }
    say(&std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect::<String>())
}

/// A reader that has gone is no failure worth a message.
fn say(text: &str) -> Result<u8, String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(1),
        Err(error) => Err(error.to_string()),
    }
}
