//! Findings: every mistake somebody made in what they wrote, as data.
//!
//! Parsing and `check()` put them in; `meshctl validate`, `meshctl apply`, admission and status take them out.
//! A finding has a stable code, a severity, the object, the field and its line, and says what to do. Collecting
//! never stops at the first one.

use std::fmt;

use crate::object::Key;
use crate::path::FieldPath;

pub use crate::code::Code;

/// How bad a finding is. An object with an `Error` is refused; the others are told and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Info,
    /// Accepted, but part of it does not do what it seems to say.
    Warning,
    /// Refused.
    Error,
}

impl Severity {
    /// Lower-case word as printed: `error`, `warning`, `info`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One mistake, with the place where it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable identifier, never reused for something else.
    pub code: Code,
    pub severity: Severity,
    /// The object, when the text could be read far enough to know it.
    pub object: Option<Key>,
    /// The field, from the root of the object (`spec.http[0].timeout`); empty for the whole object.
    pub path: FieldPath,
    /// File as given by the caller; empty when the object came from an API server.
    pub file: String,
    /// Line in the file, counted from 1; 0 when unknown.
    pub line: u32,
    /// What is wrong and what to do.
    pub message: String,
}

impl Finding {
    /// A finding of the code's usual severity, without a place.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Finding {
            code,
            severity: code.severity(),
            object: None,
            path: FieldPath::default(),
            file: String::new(),
            line: 0,
            message: message.into(),
        }
    }

    /// The same finding, about this object.
    pub fn about(mut self, key: Key) -> Self {
        self.object = Some(key);
        self
    }

    /// The same finding, at this file and line.
    pub fn at(mut self, file: &str, line: u32) -> Self {
        self.file = file.to_owned();
        self.line = line;
        self
    }

    /// The same finding, at this field.
    pub fn field(mut self, path: FieldPath) -> Self {
        self.path = path;
        self
    }

    /// The same finding with another severity than the code's usual one.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// `file:line: severity [CODE] Kind ns/name spec.path: message`, leaving out what is unknown.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.is_empty(), self.line) {
            (true, _) => {}
            (false, 0) => write!(f, "{}: ", self.file)?,
            (false, line) => write!(f, "{}:{line}: ", self.file)?,
        }
        write!(f, "{} [{}]", self.severity, self.code)?;
        match &self.object {
            // The message says what kind it is; an object without a name says nothing.
            Some(key) if key.kind == crate::Kind::Unknown && key.name.is_empty() => {}
            Some(key) if key.kind == crate::Kind::Unknown => write!(f, " {}", key.name)?,
            Some(key) => write!(f, " {key}")?,
            None => {}
        }
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Collector of findings, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether something must be refused.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|f| f.severity == Severity::Error)
    }

    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|f| f.severity == severity).count()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    pub fn as_slice(&self) -> &[Finding] {
        &self.0
    }

    pub fn into_vec(self) -> Vec<Finding> {
        self.0
    }

    /// Orders by file and line, keeping the order of discovery within a line.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

impl Extend<Finding> for Findings {
    fn extend<I: IntoIterator<Item = Finding>>(&mut self, iter: I) {
        self.0.extend(iter);
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(iter: I) -> Self {
        Findings(iter.into_iter().collect())
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
