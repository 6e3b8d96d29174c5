//! `meshctl completion`: a script for the shell, made from the command tree.
//!
//! In: the tree. Out: for bash (zsh runs the same) a function with one table of command words and one of what may
//! follow each command; for fish one line per command and flag.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use clap::{Args, Command, ValueEnum};

use super::printed::Printed;

/// Print a completion script for the shell
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    source <(meshctl completion bash)\n  \
    meshctl completion fish > ~/.config/fish/completions/meshctl.fish")]
pub struct Completion {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Runs it.
///
/// # Errors
/// None today.
pub fn run(args: &Completion, tree: &Command) -> Result<Printed> {
    let mut tree = tree.clone();
    tree.build();
    Ok(Printed::out(match args.shell {
        Shell::Bash => bash(&tree),
        Shell::Zsh => {
            format!("autoload -U +X compinit bashcompinit && compinit && bashcompinit\n{}", bash(&tree))
        }
        Shell::Fish => fish(&tree),
    }))
}

/// A command's path (`meshctl proxy-config cluster`) and what may follow it.
fn visit<'a>(command: &'a Command, path: &str, all: &mut BTreeMap<String, &'a Command>) {
    all.insert(path.to_owned(), command);
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        visit(inner, &format!("{path} {}", inner.get_name()), all);
    }
}

fn flags(command: &Command) -> Vec<String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")).collect()
}

/// Flags before a command whose next word is their value, as a pattern.
fn valued(tree: &Command) -> String {
    let taking = tree.get_arguments().filter(|arg| arg.get_action().takes_values());
    let spelled = taking.flat_map(|arg| {
        let short = arg.get_short().map(|letter| format!("-{letter}"));
        let long = arg.get_long().map(|name| format!("--{name}"));
        [short, long].into_iter().flatten()
    });
    spelled.collect::<Vec<_>>().join("|")
}

fn bash(tree: &Command) -> String {
    let mut all = BTreeMap::new();
    visit(tree, "meshctl", &mut all);
    let (mut steps, mut follow) = (String::new(), String::new());
    for (path, command) in &all {
        let mut words = flags(command);
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let name = inner.get_name();
            words.push(name.to_owned());
            let spellings: Vec<String> = std::iter::once(name)
                .chain(inner.get_all_aliases())
                .map(|word| format!("\"{path} {word}\""))
                .collect();
            writeln!(steps, "      {}) path=\"{path} {name}\" ;;", spellings.join("|"))
                .expect("a String grows");
        }
        writeln!(follow, "    \"{path}\") words=\"{}\" ;;", words.join(" ")).expect("a String grows");
    }
    let valued = valued(tree);
    format!(
        "_meshctl() {{\n  local word last= path=meshctl words= cur=\"${{COMP_WORDS[COMP_CWORD]}}\"\n  \
         for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n    \
         case \"$last\" in {valued}) last=; continue ;; esac\n    last=\"$word\"\n    case \"$path $word\" in\n{steps}    esac\n  done\n  \
         case \"$path\" in\n{follow}  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}}\n\
         complete -o default -F _meshctl meshctl\n"
    )
}

fn fish(tree: &Command) -> String {
    let mut all = BTreeMap::new();
    visit(tree, "meshctl", &mut all);
    let mut out = String::new();
    for (path, command) in &all {
        let seen: Vec<&str> = path.split(' ').skip(1).collect();
        let mut when: Vec<String> =
            seen.iter().map(|word| format!("__fish_seen_subcommand_from {word}")).collect();
        let inner: Vec<&Command> = command.get_subcommands().filter(|inner| !inner.is_hide_set()).collect();
        let names: Vec<&str> = inner.iter().map(|inner| inner.get_name()).collect();
        if !names.is_empty() {
            when.push(format!("not __fish_seen_subcommand_from {}", names.join(" ")));
        }
        let when = when.join("; and ");
        for inner in inner {
            let about = inner.get_about().map(ToString::to_string).unwrap_or_default().replace('\'', "\\'");
            let name = inner.get_name();
            writeln!(out, "complete -c meshctl -f -n '{when}' -a {name} -d '{about}'")
                .expect("a String grows");
        }
        let condition = if seen.is_empty() { String::new() } else { format!(" -n '{when}'") };
        for flag in flags(command) {
            writeln!(out, "complete -c meshctl{condition} -l {}", flag.trim_start_matches('-'))
                .expect("a String grows");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Command {
        let inner = Command::new("cluster").visible_alias("c").arg(clap::Arg::new("fqdn").long("fqdn"));
        let mut tree = Command::new("meshctl")
            .arg(clap::Arg::new("namespace").short('n').long("namespace").global(true))
            .subcommand(Command::new("proxy-config").alias("pc").about("Show").subcommand(inner));
        tree.build();
        tree
    }

    #[test]
    fn bash_follows_aliases_and_skips_values() {
        let script = bash(&tree());
        let step = r#""meshctl proxy-config"|"meshctl pc") path="meshctl proxy-config" ;;"#;
        assert!(script.contains(step), "{script}");
        assert!(script.contains(r#"case "$last" in -n|--namespace) last=; continue"#), "{script}");
        let flags = script.lines().find(|line| line.contains(r#""meshctl proxy-config cluster") words="#));
        assert!(flags.is_some_and(|line| line.contains("--fqdn")), "{script}");
    }

    #[test]
    fn fish_has_a_line_for_each() {
        let script = fish(&tree());
        assert!(script.contains("-a proxy-config -d 'Show'"), "{script}");
        assert!(script.contains("-l fqdn"), "{script}");
    }
}
