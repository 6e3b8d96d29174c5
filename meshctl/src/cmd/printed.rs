//! What a command prints and how it ends. Commands return it; `main` writes it. So a command is a function that a
//! test can call.

use std::fmt;

use crate::local::input::{self, Text};

/// Exit codes, as istioctl has them (sysexits).
pub mod code {
    /// All is well.
    pub const OK: u8 = 0;
    /// Something failed.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// A file is wrong.
    pub const DATA: u8 = 65;
    /// `analyze` found something at or above its threshold.
    pub const FINDINGS: u8 = 79;
}

/// What a command says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// The exit code.
    pub code: u8,
}

impl Printed {
    /// Success with this text.
    pub fn out(text: impl Into<String>) -> Self {
        Self { out: text.into(), ..Self::default() }
    }

    /// Writes both texts, without colours where nobody sees them, and gives the exit code.
    pub fn write(&self) -> u8 {
        use std::io::Write;
        // Somebody who closed the pipe has read enough.
        let mut out = anstream::stdout().lock();
        if out.write_all(self.out.as_bytes()).and_then(|()| out.flush()).is_err() {
            return self.code;
        }
        anstream::eprint!("{}", self.err);
        self.code
    }
}

/// A mistake in what the user handed in: exit code 65.
#[derive(Debug)]
pub struct BadInput(pub String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// A mistake in the command line: exit code 64.
#[derive(Debug)]
pub struct BadUsage(pub String);

impl fmt::Display for BadUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUsage {}

/// The texts of files, folders and standard input; what cannot be read is bad input.
///
/// # Errors
/// A file cannot be read.
pub fn texts(names: &[String]) -> Result<Vec<Text>, BadInput> {
    input::read(names).map_err(|error| BadInput(format!("{error:#}")))
}

/// The same with everything below folders.
///
/// # Errors
/// A file cannot be read.
pub fn texts_below(names: &[String]) -> Result<Vec<Text>, BadInput> {
    input::read_recursive(names).map_err(|error| BadInput(format!("{error:#}")))
}

/// Refuses files of which none has an object: most likely others were meant.
///
/// # Errors
/// There is nothing in them.
pub fn some_objects(texts: &[Text]) -> Result<(), BadInput> {
    let blank = |text: &Text| {
        text.text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---")
    };
    if texts.is_empty() || !texts.iter().all(blank) {
        return Ok(());
    }
    let names: Vec<&str> = texts.iter().map(|text| text.name.as_str()).collect();
    Err(BadInput(format!("there are no objects in {}", names.join(", "))))
}

/// How a failed command is printed and ends.
pub fn failed(error: &anyhow::Error) -> Printed {
    let code = if error.is::<BadInput>() {
        code::DATA
    } else if error.is::<BadUsage>() {
        code::USAGE
    } else {
        code::FAILED
    };
    Printed { err: format!("Error: {error:#}\n"), code, ..Printed::default() }
}
