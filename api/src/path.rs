//! Where a field is: a path of keys and indexes from the root of an object.
//!
//! Made while parsing and checking, printed in findings (`spec.http[0].match[1].headers[end-user].exact`), and
//! matched against patterns by the list of fields that are not honoured.

use std::fmt;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// Path of a field from the root of its object. Empty: the object itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(pub Vec<Step>);

impl FieldPath {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Reads `a.b[0].c`; a bracketed word that is no number is a key (`headers[x-user]`).
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut word = String::new();
        let mut bracket = false;
        let mut flush = |word: &mut String, bracket: bool| {
            if !word.is_empty() {
                let word = std::mem::take(word);
                steps.push(match word.parse() {
                    Ok(index) if bracket => Step::Index(index),
                    _ => Step::Key(word),
                });
            }
        };
        for c in text.chars() {
            match c {
                '.' if !bracket => flush(&mut word, false),
                '[' => {
                    flush(&mut word, false);
                    bracket = true;
                }
                ']' => {
                    flush(&mut word, true);
                    bracket = false;
                }
                _ => word.push(c),
            }
        }
        flush(&mut word, bracket);
        FieldPath(steps)
    }

    /// This path with one more key.
    pub fn key(&self, key: impl Into<String>) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Key(key.into()));
        path
    }

    /// This path with one more index.
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Index(index));
        path
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if key.contains(['.', '/', '-', '[', ']', ' ']) => write!(f, "[{key}]")?,
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_reads() {
        for text in ["spec.http[0].match[1].headers[end-user].exact", "metadata.labels[a.b/c]", "", "[0].x"] {
            assert_eq!(FieldPath::parse(text).to_string(), text);
        }
    }
}
