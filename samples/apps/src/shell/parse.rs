//! Text of a shell script into commands.
//!
//! In: text. Out: a [`List`], or which part of it is not understood: known are quotes, `$NAME`, `$(...)`, `|`, `&&`, `||`,
//! `;`, `( )`, `for`, `while`, and redirections to files. Every command keeps its own text, so that another process of
//! the same shell can be given it.

/// Pipelines with what stands before each of them.
pub(super) type List = Vec<(After, Vec<Command>)>;

/// When a pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Always,
    Success,
    Failure,
}

/// One command with its redirections.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) kind: Kind,
    pub(super) redirects: Vec<Redirect>,
    /// What it was read from.
    pub(super) text: String,
    /// The same without the redirections that follow.
    pub(super) bare: String,
}

#[derive(Debug)]
pub(super) enum Kind {
    Simple {
        set: Vec<(String, Word)>,
        words: Vec<Word>,
    },
    /// `( ... )`: variables set in it do not stay.
    Group(String),
    For {
        name: String,
        over: Vec<Word>,
        body: List,
    },
    While {
        condition: List,
        body: List,
    },
}

/// `1>FILE`, `2>&1` and so on.
#[derive(Debug)]
pub(super) struct Redirect {
    pub(super) stream: u8,
    pub(super) to: Target,
}

#[derive(Debug)]
pub(super) enum Target {
    Read(Word),
    Write(Word),
    Append(Word),
    Stream(u8),
}

/// Parts of a word, joined after they are expanded.
pub(super) type Word = Vec<Part>;

/// The flag says whether it stood in quotes, where an expansion is not split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String, bool),
    Variable(String, bool),
    Output(String, bool),
}

/// Words that mean something where a command begins and that are not known here.
const UNKNOWN: &[&str] = &["if", "case", "until", "function", "select", "[["];

/// Reads a whole script.
pub(super) fn parse(text: &str) -> Result<List, String> {
    let mut parser = Parser { text: text.chars().collect(), at: 0 };
    let list = parser.list(&[])?;
    match parser.peek() {
        None => Ok(list),
        Some(other) => Err(format!("unexpected {other}")),
    }
}

struct Parser {
    text: Vec<char>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn starts(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(i, c)| self.text.get(self.at + i) == Some(&c))
    }

    fn take(&mut self, what: &str) -> bool {
        let there = self.starts(what);
        if there {
            self.at += what.chars().count();
        }
        there
    }

    fn since(&self, start: usize) -> String {
        self.text.get(start..self.at).unwrap_or_default().iter().collect()
    }

    /// Blanks and comments; newlines too if they mean nothing here.
    fn blanks(&mut self, newlines: bool) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\n') if newlines => self.at += 1,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                Some('\\') if self.starts("\\\n") => self.at += 2,
                _ => return,
            }
        }
    }

    /// A word without any quoting, left where it is.
    fn keyword(&mut self) -> String {
        let plain = |c: &&char| c.is_ascii_alphanumeric() || "_[".contains(**c);
        self.text.get(self.at..).unwrap_or_default().iter().take_while(plain).collect()
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        self.blanks(true);
        if self.keyword() != word {
            return Err(format!("{word} is missing"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Until the end, a `)`, or one of these words where a command would begin.
    fn list(&mut self, ends: &[&str]) -> Result<List, String> {
        let mut list = List::new();
        let mut after = After::Always;
        loop {
            self.blanks(true);
            let word = self.keyword();
            if self.peek().is_none_or(|c| c == ')') || ends.contains(&word.as_str()) {
                return if after == After::Always {
                    Ok(list)
                } else {
                    Err("a command is missing at the end".into())
                };
            }
            list.push((after, self.pipeline()?));
            self.blanks(false);
            after = if self.take("&&") {
                After::Success
            } else if self.take("||") {
                After::Failure
            } else if self.starts("&") {
                return Err("& is not known: everything runs in the foreground".into());
            } else if self.take(";") || self.take("\n") || self.peek().is_none_or(|c| c == ')') {
                After::Always
            } else {
                return Err(format!("unexpected {}", self.peek().unwrap_or_default()));
            };
        }
    }

    fn pipeline(&mut self) -> Result<Vec<Command>, String> {
        let mut commands = vec![self.command()?];
        loop {
            self.blanks(false);
            if self.starts("||") || !self.take("|") {
                return Ok(commands);
            }
            self.blanks(true);
            commands.push(self.command()?);
        }
    }

    fn command(&mut self) -> Result<Command, String> {
        let start = self.at;
        let mut redirects = Vec::new();
        let word = self.keyword();
        let kind = match word.as_str() {
            _ if self.starts("(") => Kind::Group(self.group()?),
            "for" => self.for_loop()?,
            "while" => self.while_loop()?,
            other if UNKNOWN.contains(&other) || self.starts("{") => {
                return Err(format!("{} is not known", if other.is_empty() { "{" } else { other }));
            }
            _ => self.simple(&mut redirects)?,
        };
        let bare = self.since(start);
        while let Some(redirect) = self.redirect()? {
            redirects.push(redirect);
        }
        Ok(Command { kind, redirects, text: self.since(start), bare })
    }

    /// The text between parentheses; it is read once to find its end.
    fn group(&mut self) -> Result<String, String> {
        self.at += 1;
        let start = self.at;
        self.list(&[])?;
        let inner = self.since(start);
        if self.take(")") { Ok(inner) } else { Err(") is missing".into()) }
    }

    fn for_loop(&mut self) -> Result<Kind, String> {
        self.expect("for")?;
        self.blanks(false);
        let name = self.keyword();
        self.at += name.len();
        self.expect("in")?;
        let mut over = Vec::new();
        loop {
            self.blanks(false);
            match self.word()? {
                Some(word) => over.push(word),
                None => break,
            }
        }
        if !self.take(";") && !self.take("\n") {
            return Err("; is missing before do".into());
        }
        Ok(Kind::For { name, over, body: self.body()? })
    }

    fn while_loop(&mut self) -> Result<Kind, String> {
        self.expect("while")?;
        let condition = self.list(&["do"])?;
        Ok(Kind::While { condition, body: self.body()? })
    }

    fn body(&mut self) -> Result<List, String> {
        self.expect("do")?;
        let body = self.list(&["done"])?;
        self.expect("done")?;
        Ok(body)
    }

    fn simple(&mut self, redirects: &mut Vec<Redirect>) -> Result<Kind, String> {
        let (mut set, mut words) = (Vec::new(), Vec::new());
        loop {
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            let name = self.keyword();
            let assigns = self.text.get(self.at + name.len()) == Some(&'=') && !name.is_empty();
            if words.is_empty() && assigns {
                self.at += name.len() + 1;
                set.push((name, self.word()?.unwrap_or_default()));
                continue;
            }
            match self.word()? {
                Some(word) => words.push(word),
                None => break,
            }
        }
        if set.is_empty() && words.is_empty() && redirects.is_empty() {
            return Err(format!("a command is missing before {}", self.peek().unwrap_or(' ')));
        }
        Ok(Kind::Simple { set, words })
    }

    fn redirect(&mut self) -> Result<Option<Redirect>, String> {
        self.blanks(false);
        let digit = self.peek().and_then(|c| c.to_digit(10)).and_then(|d| u8::try_from(d).ok());
        let arrow = self.text.get(self.at + usize::from(digit.is_some())).copied();
        let Some(arrow @ ('<' | '>')) = arrow else { return Ok(None) };
        self.at += usize::from(digit.is_some()) + 1;
        let stream = digit.unwrap_or(u8::from(arrow == '>'));
        if arrow == '<' && self.starts("<") {
            return Err("<< is not known".into());
        }
        if self.take("&") {
            let to = self.peek().and_then(|c| c.to_digit(10)).and_then(|d| u8::try_from(d).ok());
            let to = to.filter(|to| (1..=2).contains(to)).ok_or("after >& stands 1 or 2")?;
            self.at += 1;
            return Ok(Some(Redirect { stream, to: Target::Stream(to) }));
        }
        let append = arrow == '>' && self.take(">");
        self.blanks(false);
        let file = self.word()?.ok_or("a file is missing after a redirection")?;
        let to = match (arrow, append) {
            ('<', _) => Target::Read(file),
            (_, true) => Target::Append(file),
            (_, false) => Target::Write(file),
        };
        Ok(Some(Redirect { stream, to }))
    }

    /// The next word; none where an operator stands.
    fn word(&mut self) -> Result<Option<Word>, String> {
        let start = self.at;
        let mut word = Word::new();
        let mut plain = String::new();
        let mut quoted = false;
        loop {
            let Some(c) = self.peek() else {
                if quoted {
                    return Err("a \" is missing".into());
                }
                break;
            };
            match c {
                '"' => {
                    quoted = !quoted;
                    flush(&mut plain, !quoted, &mut word, true);
                    self.at += 1;
                }
                '$' => {
                    flush(&mut plain, quoted, &mut word, false);
                    let part = self.expansion(quoted)?;
                    word.push(part);
                }
                '\\' => {
                    let next = self.text.get(self.at + 1).copied();
                    self.at += 1 + usize::from(next.is_some());
                    // In double quotes a backslash only protects what would mean something there.
                    if quoted && !next.is_some_and(|next| "\"\\$`\n".contains(next)) {
                        plain.push('\\');
                    }
                    plain.extend(next.filter(|next| *next != '\n'));
                }
                '`' => return Err("` is not known; $( ) is".into()),
                '\'' if !quoted => {
                    self.at += 1;
                    let from = self.at;
                    while self.peek().is_some_and(|c| c != '\'') {
                        self.at += 1;
                    }
                    flush(&mut plain, false, &mut word, false);
                    word.push(Part::Text(self.since(from), true));
                    if !self.take("'") {
                        return Err("a ' is missing".into());
                    }
                }
                ' ' | '\t' | '\n' | ';' | '|' | '&' | '(' | ')' | '<' | '>' if !quoted => break,
                other => {
                    plain.push(other);
                    self.at += 1;
                }
            }
        }
        flush(&mut plain, false, &mut word, false);
        Ok((self.at > start).then_some(word))
    }

    /// After a `$`: a name, `{name}`, `?` or a command.
    fn expansion(&mut self, quoted: bool) -> Result<Part, String> {
        self.at += 1;
        if self.starts("((") {
            return Err("$(( is not known".into());
        }
        if self.starts("(") {
            return Ok(Part::Output(self.group()?, quoted));
        }
        if self.take("?") {
            return Ok(Part::Variable("?".into(), quoted));
        }
        let braces = self.take("{");
        let name: String = self.keyword().chars().filter(|c| *c != '[').collect();
        self.at += name.len();
        if braces && !self.take("}") {
            return Err(format!("${{{name}: only a name can stand in braces"));
        }
        if name.is_empty() { Ok(Part::Text("$".into(), quoted)) } else { Ok(Part::Variable(name, quoted)) }
    }
}

/// Moves what was gathered into the word; a pair of quotes counts even if nothing is between them.
fn flush(plain: &mut String, quoted: bool, word: &mut Word, keep_empty: bool) {
    if !plain.is_empty() || (keep_empty && quoted) {
        word.push(Part::Text(std::mem::take(plain), quoted));
    }
}
