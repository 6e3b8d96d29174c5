//! Commands run: pipes, lists, loops, variables, redirections.
//!
//! In: a [`List`]. Out: the exit status of its last command. Every program is a process; so are the members of a pipe
//! and groups, which are given to another process of this shell as text. Variables are the environment of all of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command as Process, ExitStatus, Stdio};

use super::parse::{After, Command, Kind, List, Part, Redirect, Target, Word, parse};
use super::small;

/// The state of one shell process.
#[derive(Default)]
pub(super) struct Shell {
    variables: BTreeMap<String, String>,
    status: i32,
    /// Set by `exit`: nothing more runs.
    ended: bool,
}

impl Shell {
    /// Runs a script and says the status that it ends with.
    pub(super) fn script(&mut self, text: &str) -> i32 {
        match parse(text) {
            Ok(list) => self.list(&list),
            Err(error) => {
                eprintln!("sh: {error}");
                self.status = 2;
            }
        }
        self.status
    }

    /// True once `exit` was called.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    fn list(&mut self, list: &List) {
        for (after, pipeline) in list {
            let wanted = match after {
                After::Always => true,
                After::Success => self.status == 0,
                After::Failure => self.status != 0,
            };
            if wanted && !self.ended {
                self.status = self.pipeline(pipeline).unwrap_or_else(|error| {
                    eprintln!("sh: {error}");
                    1
                });
            }
        }
    }

    fn pipeline(&mut self, commands: &[Command]) -> Result<i32, String> {
        if let [only] = commands {
            return self.command(only);
        }
        let mut children = Vec::new();
        let mut input = Stdio::inherit();
        for (i, command) in commands.iter().enumerate() {
            let last = i + 1 == commands.len();
            let mut process = self.again(&command.text)?;
            process.stdin(input).stdout(if last { Stdio::inherit() } else { Stdio::piped() });
            let mut child = process.spawn().map_err(|error| error.to_string())?;
            input = child.stdout.take().map_or_else(Stdio::null, Stdio::from);
            children.push(child);
        }
        let mut status = 0;
        for mut child in children {
            status = code(child.wait().map_err(|error| error.to_string())?);
        }
        Ok(status)
    }

    fn command(&mut self, command: &Command) -> Result<i32, String> {
        match &command.kind {
            Kind::Simple { set, words } => self.simple(set, words, &command.redirects),
            Kind::Group(text) => {
                let mut process = self.again(text)?;
                self.redirected(&mut process, &command.redirects)?;
                wait(process.spawn().map_err(|error| error.to_string())?)
            }
            // Redirections of a loop are those of a process that runs it.
            Kind::For { .. } | Kind::While { .. } if !command.redirects.is_empty() => {
                let mut process = self.again(&command.bare)?;
                self.redirected(&mut process, &command.redirects)?;
                wait(process.spawn().map_err(|error| error.to_string())?)
            }
            Kind::For { name, over, body } => {
                for value in self.words(over)? {
                    self.variables.insert(name.clone(), value);
                    self.list(body);
                    if self.ended {
                        break;
                    }
                }
                Ok(self.status)
            }
            Kind::While { condition, body } => {
                let mut status = 0;
                loop {
                    self.list(condition);
                    if self.status != 0 || self.ended {
                        return Ok(status);
                    }
                    self.list(body);
                    status = self.status;
                }
            }
        }
    }

    fn simple(
        &mut self,
        set: &[(String, Word)],
        words: &[Word],
        redirects: &[Redirect],
    ) -> Result<i32, String> {
        let mut values = Vec::new();
        for (name, word) in set {
            values.push((name.clone(), self.word(word)?));
        }
        let argv = self.words(words)?;
        let Some((program, arguments)) = argv.split_first() else {
            self.variables.extend(values);
            return Ok(0);
        };
        match program.as_str() {
            "exit" => {
                self.ended = true;
                return arguments.first().map_or(Ok(self.status), |code| {
                    code.parse().map_err(|_| format!("exit: {code} is no number"))
                });
            }
            "export" => {
                // Variables are everybody's already.
                for (name, value) in arguments.iter().filter_map(|word| word.split_once('=')) {
                    self.variables.insert(name.into(), value.into());
                }
                return Ok(0);
            }
            ":" => return Ok(0),
            "cd" | "read" | "set" | "trap" | "eval" | "exec" | "test" | "[" => {
                return Err(format!("{program} is not known"));
            }
            _ => {}
        }
        let mut process = if small::NAMES.contains(&program.as_str()) {
            let mut process = Process::new(small::myself()?);
            process.arg(program);
            process
        } else {
            Process::new(program)
        };
        process.args(arguments).envs(&self.variables).envs(values);
        self.redirected(&mut process, redirects)?;
        match process.spawn() {
            Ok(child) => wait(child),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("sh: {program}: not found");
                Ok(127)
            }
            Err(error) => Err(format!("{program}: {error}")),
        }
    }

    /// This shell once more, in a process, for a part of its script.
    fn again(&self, text: &str) -> Result<Process, String> {
        let mut process = Process::new(small::myself()?);
        process.args(["sh", "-c", text]).envs(&self.variables);
        Ok(process)
    }

    /// Applies redirections in their order.
    fn redirected(&mut self, process: &mut Process, redirects: &[Redirect]) -> Result<(), String> {
        // Where standard output and error go, as files that can be shared.
        let mut streams: [Option<File>; 3] = [None, None, None];
        for redirect in redirects {
            let open = |file: &str, options: &mut std::fs::OpenOptions| {
                options.open(file).map_err(|error| format!("{file}: {error}"))
            };
            let file = match &redirect.to {
                Target::Read(word) => open(&self.word(word)?, File::options().read(true))?,
                Target::Write(word) => {
                    open(&self.word(word)?, File::options().write(true).create(true).truncate(true))?
                }
                Target::Append(word) => open(&self.word(word)?, File::options().append(true).create(true))?,
                Target::Stream(number) => match streams.get(usize::from(*number)).and_then(Option::as_ref) {
                    Some(file) => file.try_clone().map_err(|error| error.to_string())?,
                    None => open(&format!("/proc/self/fd/{number}"), File::options().append(true))?,
                },
            };
            match streams.get_mut(usize::from(redirect.stream)) {
                Some(stream) => *stream = Some(file),
                None => return Err(format!("stream {} is not known", redirect.stream)),
            }
        }
        let [input, output, errors] = streams;
        if let Some(file) = input {
            process.stdin(file);
        }
        if let Some(file) = output {
            process.stdout(file);
        }
        if let Some(file) = errors {
            process.stderr(file);
        }
        Ok(())
    }

    /// A word where only one can stand.
    fn word(&mut self, word: &Word) -> Result<String, String> {
        Ok(self.words(std::slice::from_ref(word))?.join(" "))
    }

    /// Words with everything in place; what is not in quotes is split at blanks.
    fn words(&mut self, words: &[Word]) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        for word in words {
            let mut current: Option<String> = None;
            for part in word {
                let (text, whole) = match part {
                    Part::Text(text, _) => (text.clone(), true),
                    Part::Variable(name, quoted) => (self.variable(name), *quoted),
                    Part::Output(text, quoted) => (self.output(text)?, *quoted),
                };
                if whole {
                    current.get_or_insert_default().push_str(&text);
                    continue;
                }
                if text.starts_with(char::is_whitespace) {
                    all.extend(current.take());
                }
                let mut pieces = text.split_whitespace().peekable();
                while let Some(piece) = pieces.next() {
                    current.get_or_insert_default().push_str(piece);
                    if pieces.peek().is_some() || text.ends_with(char::is_whitespace) {
                        all.extend(current.take());
                    }
                }
            }
            all.extend(current);
        }
        Ok(all)
    }

    fn variable(&self, name: &str) -> String {
        if name == "?" {
            return self.status.to_string();
        }
        let environment = || std::env::var(name).unwrap_or_default();
        self.variables.get(name).cloned().unwrap_or_else(environment)
    }

    fn output(&mut self, text: &str) -> Result<String, String> {
        let mut process = self.again(text)?;
        let told = process.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
        self.status = code(told.status);
        Ok(String::from_utf8_lossy(&told.stdout).trim_end_matches('\n').to_owned())
    }
}

fn wait(mut child: Child) -> Result<i32, String> {
    child.wait().map(code).map_err(|error| error.to_string())
}

/// As shells say it: 128 and the signal for a process that was killed.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
