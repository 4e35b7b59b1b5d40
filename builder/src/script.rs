//! Scripts of acbuild: a command a line.
//!
//! ```text
//! # a comment
//! begin ./rootfs
//! label add version ${VERSION}
//! environment add GREETING "it's \"fine\""
//! run -- /bin/sh -c 'echo one; \
//!     echo two'
//! ```
//!
//! - Words are separated by white space. In `'…'` and `"…"` a backslash escapes the next character;
//!   `""` is a word.
//! - `#` begins a comment where a word could begin. (acbuild began one in the middle of a word, too,
//!   so that `/bin/a#b` lost its end.)
//! - A backslash at the end of a line joins it with the next; outside of quotes the two are separate
//!   words.
//! - `${NAME}` is a variable that was set, and a fault where it was not. `$NAME` is nothing special,
//!   as it was in acbuild; `\$` is a dollar.
//! - The first word is a command of `gantry build`. Nothing is run before all is read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// A script that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    lines: Vec<Line>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line it begins in, counted from 1.
    pub line: usize,
    /// Its words; there is at least one.
    pub words: Vec<Word>,
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What it says.
    pub text: String,
    /// The character of its line that it begins with, counted from 1.
    pub column: usize,
}

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ScriptFault {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in it, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for ScriptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)
    }
}

impl Script {
    /// Reads a script; all that is wrong with it is told.
    pub fn parse(
        text: &[u8],
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<ScriptFault>> {
        let text = std::str::from_utf8(text).map_err(|error| {
            let before = String::from_utf8_lossy(&text[..error.valid_up_to()]);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            vec![ScriptFault { line, column, what: "a byte that is no UTF-8".to_owned() }]
        })?;
        let mut lexer = Lexer {
            text: text.chars().peekable(),
            line: 1,
            column: 1,
            variables,
            faults: Vec::new(),
        };
        let mut lines = Vec::new();
        while let Some(line) = lexer.command() {
            if !line.words.is_empty() {
                lines.push(line);
            }
        }
        if lexer.faults.is_empty() { Ok(Self { lines }) } else { Err(lexer.faults) }
    }

    /// The commands, in order.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

impl Line {
    /// Where its first word begins.
    pub fn column(&self) -> usize {
        self.words.first().map_or(1, |word| word.column)
    }
}

/// The words of a command with `--` before what `run` and `set-exec` are to run: options of that
/// program are not ours. `with_value` are the options of `run` that take a value in the next word.
pub fn with_dashes(mut words: Vec<OsString>, with_value: &[&str]) -> Vec<OsString> {
    let runs = |word: &OsString| word == "run" || word == "set-exec";
    let Some(command) = words.iter().position(runs).filter(|&at| {
        // A word before it that is no option is the command.
        words[..at].iter().all(|word| word.as_encoded_bytes().starts_with(b"-"))
    }) else {
        return words;
    };
    let mut at = command + 1;
    while let Some(word) = words.get(at) {
        if word == "--" {
            return words;
        }
        if !word.as_encoded_bytes().starts_with(b"-") {
            words.insert(at, "--".into());
            return words;
        }
        at += if with_value.iter().any(|name| word == name) { 2 } else { 1 };
    }
    words
}

struct Lexer<'a> {
    text: Peekable<Chars<'a>>,
    line: usize,
    column: usize,
    variables: &'a BTreeMap<String, String>,
    faults: Vec<ScriptFault>,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.text.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn fault(&mut self, (line, column): (usize, usize), what: impl Into<String>) {
        self.faults.push(ScriptFault { line, column, what: what.into() });
    }

    fn here(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    /// The next command, which is empty where there is a line without one; `None` at the end.
    fn command(&mut self) -> Option<Line> {
        self.text.peek()?;
        let mut command = Line { line: self.line, words: Vec::new() };
        while let Some(&c) = self.text.peek() {
            match c {
                '\n' => {
                    self.next();
                    break;
                }
                '#' => {
                    while self.text.peek().is_some_and(|&c| c != '\n') {
                        self.next();
                    }
                }
                c if c.is_whitespace() => {
                    self.next();
                }
                _ => {
                    let (line, column) = self.here();
                    if let Some(text) = self.word() {
                        if command.words.is_empty() {
                            command.line = line;
                        }
                        command.words.push(Word { text, column });
                    }
                }
            }
        }
        Some(command)
    }

    /// The word that begins here; `None` where there is a joined line and no word.
    fn word(&mut self) -> Option<String> {
        let (mut text, mut is_word) = (String::new(), false);
        while let Some(&c) = self.text.peek() {
            let at = self.here();
            match c {
                c if c.is_whitespace() => break,
                '"' | '\'' => {
                    self.next();
                    is_word = true;
                    self.quoted(c, at, &mut text);
                }
                '\\' => {
                    self.next();
                    match self.next() {
                        None => self.fault(
                            at,
                            "a backslash at the end of the script, with no line to join",
                        ),
                        Some('\n') => break,
                        Some('\r') if self.text.peek() == Some(&'\n') => {
                            self.next();
                            break;
                        }
                        Some(c) => {
                            is_word = true;
                            self.check(c, at, &mut text);
                        }
                    }
                }
                _ => {
                    self.next();
                    is_word = true;
                    self.plain(c, at, &mut text);
                }
            }
        }
        is_word.then_some(text)
    }

    fn quoted(&mut self, quote: char, start: (usize, usize), text: &mut String) {
        loop {
            let at = self.here();
            match self.next() {
                None => return self.fault(start, format!("the quote {quote} is not closed")),
                Some(c) if c == quote => return,
                Some('\\') => match self.next() {
                    // A joined line.
                    Some('\n') => {}
                    Some('\r') if self.text.peek() == Some(&'\n') => {
                        self.next();
                    }
                    Some(c) => self.check(c, at, text),
                    None => return self.fault(start, format!("the quote {quote} is not closed")),
                },
                Some(c) if quote == '\'' => self.check(c, at, text),
                Some(c) => self.plain(c, at, text),
            }
        }
    }

    /// A character that means itself, but for the beginning of a variable.
    fn plain(&mut self, c: char, at: (usize, usize), text: &mut String) {
        if c != '$' || self.text.peek() != Some(&'{') {
            return self.check(c, at, text);
        }
        self.next();
        let mut name = String::new();
        loop {
            match self.text.peek() {
                Some('}') => {
                    self.next();
                    break;
                }
                Some(&c) if c.is_ascii_alphanumeric() || c == '_' => {
                    self.next();
                    name.push(c);
                }
                _ => return self.fault(at, "\"${\" begins a variable, which ends with \"}\" and has letters, digits and \"_\" between; write \\$ for a dollar"),
            }
        }
        match self.variables.get(&name) {
            Some(value) => text.push_str(value),
            None => {
                let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none is".to_owned() } else { known.join(", ") };
                self.fault(
                    at,
                    format!("${{{name}}} is not set (set: {known}): give --set {name}=VALUE"),
                );
            }
        }
    }

    fn check(&mut self, c: char, at: (usize, usize), text: &mut String) {
        match c {
            '\0' => self.fault(at, "a NUL byte, which no command can be given"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [("V".to_owned(), "1 0".to_owned())].into()
    }

    fn lines(text: &str) -> Vec<Vec<String>> {
        let script = Script::parse(text.as_bytes(), &variables()).unwrap();
        let words = |line: &Line| line.words.iter().map(|word| word.text.clone()).collect();
        script.lines().iter().map(words).collect()
    }

    #[test]
    fn words_are_separated_quoted_and_joined() {
        for (text, wanted) in [
            ("a b\tc", vec![vec!["a", "b", "c"]]),
            ("\n\n a \r\nb\n", vec![vec!["a"], vec!["b"]]),
            ("a 'b c' \"d'e\" f\"g h\"i", vec![vec!["a", "b c", "d'e", "fg hi"]]),
            (r#"a "\"" '\'' \" "\\""#, vec![vec!["a", "\"", "'", "\"", "\\"]]),
            ("a \"\" ''", vec![vec!["a", "", ""]]),
            ("a \\\n  b\\\nc", vec![vec!["a", "b", "c"]]),
            ("a 'x \\\ny'", vec![vec!["a", "x y"]]),
            ("a 'x \\\r\ny' \"x \\\r\ny\" \\\r\nb", vec![vec!["a", "x y", "x y", "b"]]),
            ("# all\na # rest\na#b \\#", vec![vec!["a"], vec!["a#b", "#"]]),
            (
                "a ${V} \"${V}x\" '${V}' $V \\${V} $",
                vec![vec!["a", "1 0", "1 0x", "${V}", "$V", "${V}", "$"]],
            ),
            ("a 'two\nlines'", vec![vec!["a", "two\nlines"]]),
            ("#!/usr/bin/env acbuild-script\nbegin", vec![vec!["begin"]]),
            ("", vec![]),
        ] {
            assert_eq!(lines(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let text = "a ${X}\nb 'open\n";
        let faults = Script::parse(text.as_bytes(), &variables()).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["1:3: ${X} is not set (set: V): give --set X=VALUE", "2:3: the quote ' is not closed"]
        );
        for (text, line, column) in [
            ("é ${a-b}", 1, 3),
            ("a \\", 1, 3),
            ("a\n  \0", 2, 3),
            ("a \\\0", 1, 3),
            ("a 'b\\\0'", 1, 5),
            ("a \"b\\\0\"", 1, 5),
            ("a \"x\\", 1, 3),
            ("a ${V", 1, 3),
        ] {
            let faults = Script::parse(text.as_bytes(), &variables()).unwrap_err();
            assert_eq!((faults[0].line, faults[0].column), (line, column), "{text:?}");
        }
        let faults = Script::parse(b"a\nb \xff", &variables()).unwrap_err();
        assert_eq!((faults[0].line, faults[0].column), (2, 3));
    }

    #[test]
    fn lines_know_where_they_begin() {
        let script = Script::parse(b"\n  a \\\n b\n c", &variables()).unwrap();
        let at: Vec<_> = script.lines().iter().map(|line| (line.line, line.column())).collect();
        assert_eq!(at, [(2, 3), (4, 2)]);
    }

    #[test]
    fn dashes_come_before_what_is_run() {
        for (text, wanted) in [
            ("run /bin/a -x", "run -- /bin/a -x"),
            ("run --engine chroot /bin/a -x", "run --engine chroot -- /bin/a -x"),
            ("run --engine=chroot -- /bin/a -x", "run --engine=chroot -- /bin/a -x"),
            ("--no-history set-exec /bin/a -x", "--no-history set-exec -- /bin/a -x"),
            ("label add run x", "label add run x"),
            ("run", "run"),
        ] {
            let script = Script::parse(text.as_bytes(), &BTreeMap::new()).unwrap();
            let line = &script.lines()[0];
            let words = line.words.iter().map(|word| word.text.clone().into()).collect();
            let words = with_dashes(words, &["--engine"]);
            let words: Vec<String> =
                words.into_iter().map(|word| word.into_string().unwrap()).collect();
            assert_eq!(words.join(" "), wanted);
        }
    }

    proptest! {
        #[test]
        fn words_that_are_quoted_are_read_as_they_were(
            words in proptest::collection::vec("[^\0]{0,12}", 1..5)
        ) {
            let quoted: Vec<String> = words
                .iter()
                .map(|word| format!("'{}'", word.replace('\\', "\\\\").replace('\'', "\\'")))
                .collect();
            prop_assert_eq!(lines(&quoted.join(" ")), vec![words]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Script::parse(&text, &BTreeMap::new());
        }
    }
}
