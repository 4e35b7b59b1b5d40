//! Scripts of acbuild: a file of its commands, one a line.
//!
//! ```text
//! #!/usr/bin/env acbuild-script
//! begin ./rootfs
//! set-name example.com/web            # a comment
//! label add version "${VERSION}"      # VERSION is set by whoever runs the script
//! run -- /bin/sh -c 'echo "$HOME ${HOME}" \
//!     > /etc/home'
//! write --overwrite web.aci
//! ```
//!
//! A script is read whole before any of it runs, and every fault in it is reported with its place.
//!
//! - Words stand between blanks. `'…'` and `"…"` keep blanks, and may be a part of a word; a quoted
//!   text that is empty is a word.
//! - A backslash makes the next character an ordinary one, inside quotes of both kinds too. At the
//!   end of a line it joins the next one, of which the blanks before the first word do not count.
//!   Nothing else spans lines. There are no globs.
//! - `#` begins a comment where a word could begin.
//! - `${NAME}` is the variable of that name, and part of the word it stands in whatever its value
//!   is: a value is not split, not read again, and may be empty. There are no variables but those
//!   that the caller set; one that is not set is a fault. Inside single quotes and after a
//!   backslash it is an ordinary text.
//! - The first word of a line is a command, in lower case whatever the script has.
//!
//! What acbuild 0.4.0 read in another way:
//!
//! - It began a comment at any `#`, so that `set-exec /bin/a#b` lost its end; and where a comment
//!   ended in a backslash it took the next line for a part of it.
//! - It joined lines also at `\\`, which is a backslash here.
//! - It dropped the word `""`.
//! - It had no variables. `$NAME`, `$(…)` and `${NAME:-…}` are texts here, as they were, for the
//!   shell that a `run` may start; but `${NAME}` has to be written `\${NAME}` for it, or stand
//!   inside single quotes. A script that does not, says so before it does anything.

use std::collections::BTreeMap;
use std::fmt;

#[cfg(test)]
mod tests;

/// The commands of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    lines: Vec<Line>,
}

/// One command, which may be written on several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line it begins on, from 1.
    pub line: usize,
    /// Its words: the command, in lower case, and what it is given. At least one.
    pub words: Vec<Word>,
}

/// One word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its text, without quotes and with the values of variables.
    pub text: String,
    /// The line it begins on, from 1.
    pub line: usize,
    /// The character of that line it begins at, from 1.
    pub column: usize,
}

/// One fault of a script, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct ScriptFault {
    /// The line, from 1.
    pub line: usize,
    /// The character of that line, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: ScriptFaultKind,
}

/// What is wrong in a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFaultKind {
    /// A quote that its line does not close.
    #[error("the quote {0} is not closed on its line")]
    UnclosedQuote(char),
    /// A backslash with nothing after it.
    #[error("the file ends in a backslash, which joins nothing")]
    EndsInBackslash,
    /// A byte that no argument can have.
    #[error("a NUL byte, which no argument can have")]
    Nul,
    /// Bytes that are no text.
    #[error("bytes that are not UTF-8")]
    NotUtf8,
    /// A variable without a value.
    #[error(
        "the variable {name} is not set ({}); for the shell's own, write \\${{{name}}}", told(.set)
    )]
    UnknownVariable {
        /// Its name.
        name: String,
        /// Those that are set.
        set: Vec<String>,
    },
}

fn told(set: &[String]) -> String {
    match set {
        [] => "none is".to_owned(),
        [one] => format!("only {one} is"),
        several => format!("only {} are", several.join(", ")),
    }
}

impl Script {
    /// Reads a script: its commands, or every fault in it in the order of the text.
    ///
    /// ```
    /// use builder::script::Script;
    ///
    /// let variables = [("VERSION".to_owned(), "1.0.0".to_owned())].into();
    /// let script = Script::parse(b"label add version ${VERSION}", &variables)?;
    /// assert_eq!(script.lines()[0].arguments(&[]), ["label", "add", "version", "1.0.0"]);
    ///
    /// let faults = Script::parse(b"set-name 'a\nset-exec ${X}", &variables).unwrap_err();
    /// assert_eq!(faults[0].to_string(), "line 1, column 10: the quote ' is not closed on its line");
    /// assert_eq!(faults.len(), 2);
    /// # Ok::<(), Vec<builder::script::ScriptFault>>(())
    /// ```
    pub fn parse(
        text: &[u8],
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<ScriptFault>> {
        let mut faults = Vec::new();
        let text = decode(text, &mut faults);
        let mut lexer = Lexer { rest: &text, place: Place::START, variables, faults };
        let lines = lexer.lines();
        let mut faults = lexer.faults;
        faults.sort_by_key(|fault| (fault.line, fault.column));
        if faults.is_empty() { Ok(Self { lines }) } else { Err(faults) }
    }

    /// The commands, in order.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// The commands whose own arguments end where the words of another command begin.
const TAKES_COMMAND: [&str; 2] = ["run", "set-exec"];

impl Line {
    /// The words as arguments. After `run` and `set-exec`, as acbuild does it, `--` is put before
    /// the first word that is neither a flag nor the value of one, so that the flags after it are
    /// those of the program; where the line has a `--` before that word it stays alone.
    ///
    /// `value_flags` are the flags that take the next word for their value, such as `--engine`.
    /// `--engine=chroot` is one word, and need not be told.
    pub fn arguments(&self, value_flags: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = self.words.iter().map(|word| word.text.clone()).collect();
        if all.first().is_some_and(|command| TAKES_COMMAND.contains(&command.as_str()))
            && let Some(at) = operand(&all, value_flags)
        {
            all.insert(at, "--".to_owned());
        }
        all
    }
}

/// Where the first operand is, if no `--` is before it.
fn operand(words: &[String], value_flags: &[&str]) -> Option<usize> {
    let mut at = 1;
    loop {
        match words.get(at)?.as_str() {
            "--" => return None,
            flag if value_flags.contains(&flag) => at += 2,
            // A dash alone is a file: standard input.
            flag if flag.len() > 1 && flag.starts_with('-') => at += 1,
            _ => return Some(at),
        }
    }
}

/// As it is in a script.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.words.iter().enumerate() {
            let before = if at == 0 { "" } else { " " };
            write!(f, "{before}{}", quoted(&word.text))?;
        }
        Ok(())
    }
}

/// A text as a word of a script.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[derive(Debug, Clone, Copy)]
struct Place {
    line: usize,
    column: usize,
}

impl Place {
    const START: Self = Self { line: 1, column: 1 };

    fn after(self, character: char) -> Self {
        match character {
            '\n' => Self { line: self.line + 1, column: 1 },
            _ => Self { column: self.column + 1, ..self },
        }
    }

    fn fault(self, kind: ScriptFaultKind) -> ScriptFault {
        ScriptFault { line: self.line, column: self.column, kind }
    }
}

/// The text, with what it cannot have reported.
fn decode(bytes: &[u8], faults: &mut Vec<ScriptFault>) -> String {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut text = String::new();
    let mut place = Place::START;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\0' {
                faults.push(place.fault(ScriptFaultKind::Nul));
            }
            place = place.after(character);
        }
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            faults.push(place.fault(ScriptFaultKind::NotUtf8));
            text.push(char::REPLACEMENT_CHARACTER);
            place = place.after(char::REPLACEMENT_CHARACTER);
        }
    }
    text.replace("\r\n", "\n")
}

struct Lexer<'a> {
    rest: &'a str,
    place: Place,
    variables: &'a BTreeMap<String, String>,
    faults: Vec<ScriptFault>,
}

const BLANKS: [char; 2] = [' ', '\t'];

impl Lexer<'_> {
    fn lines(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        loop {
            let mut words = self.words();
            if let Some(command) = words.first_mut() {
                command.text.make_ascii_lowercase();
                lines.push(Line { line: command.line, words });
            }
            if self.next().is_none() {
                return lines;
            }
        }
    }

    /// The words up to the end of a line, which is left.
    fn words(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        loop {
            match self.rest.chars().next() {
                None | Some('\n') => return words,
                Some(c) if BLANKS.contains(&c) => self.skip(1),
                Some('#') => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
                Some('\\') if self.joins() => self.join(),
                Some(_) => words.push(self.word()),
            }
        }
    }

    fn word(&mut self) -> Word {
        let Place { line, column } = self.place;
        let mut text = String::new();
        let mut quote: Option<(char, Place)> = None;
        loop {
            let place = self.place;
            let inside = quote.map(|(quote, _)| quote);
            match self.rest.chars().next() {
                None | Some('\n') => break,
                Some(c) if BLANKS.contains(&c) && inside.is_none() => break,
                Some('\\') if self.joins() && inside.is_none() => break,
                Some('\\') if self.joins() => {
                    self.join();
                    text.push(' ');
                }
                Some('\\') => self.escaped(&mut text),
                Some('$') if inside != Some('\'') => self.dollar(&mut text),
                Some(c) if inside == Some(c) => {
                    quote = None;
                    self.skip(1);
                }
                Some(c @ ('\'' | '"')) if inside.is_none() => {
                    quote = Some((c, place));
                    self.skip(1);
                }
                Some(_) => text.extend(self.next()),
            }
        }
        if let Some((quote, place)) = quote {
            self.faults.push(place.fault(ScriptFaultKind::UnclosedQuote(quote)));
        }
        Word { text, line, column }
    }

    /// A backslash, and what it makes ordinary.
    fn escaped(&mut self, text: &mut String) {
        let place = self.place;
        self.skip(1);
        match self.rest.trim_start_matches(BLANKS) {
            "" => {
                self.faults.push(place.fault(ScriptFaultKind::EndsInBackslash));
                self.skip(self.rest.len());
            }
            _ => text.extend(self.next()),
        }
    }

    /// A dollar, and the variable of which it may be the beginning.
    fn dollar(&mut self, text: &mut String) {
        let Some(name) = variable(self.rest) else {
            text.extend(self.next());
            return;
        };
        match self.variables.get(name) {
            Some(value) => text.push_str(value),
            None => {
                let (name, set) = (name.to_owned(), self.variables.keys().cloned().collect());
                let kind = ScriptFaultKind::UnknownVariable { name, set };
                self.faults.push(self.place.fault(kind));
            }
        }
        self.skip("${}".len() + name.len());
    }

    /// Whether here is a backslash that joins two lines. Blanks after it are seen by nobody.
    fn joins(&self) -> bool {
        let after = self.rest.strip_prefix('\\').map(|rest| rest.trim_start_matches(BLANKS));
        after.is_some_and(|after| after.starts_with('\n'))
    }

    /// Goes on to the first word of the next line.
    fn join(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
        while self.rest.starts_with(BLANKS) {
            self.skip(1);
        }
    }

    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.skip(character.len_utf8());
        Some(character)
    }

    /// Leaves this many bytes behind.
    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.place = skipped.chars().fold(self.place, Place::after);
        self.rest = rest;
    }
}

/// The name of the variable that a text begins with, if it does.
fn variable(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix("${")?.split_once('}')?;
    is_variable(name).then_some(name)
}

/// Whether a script can ask for a variable of this name: letters, digits and `_`, no digit first.
pub fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
