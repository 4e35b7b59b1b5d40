//! What is left out of an image: the patterns of `.aciignore`, ignore files and options.
//!
//! The rules are gitignore's: the last pattern that matches decides, `!` takes back, and what is
//! in a folder that is left out is left out with it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gix_ignore::glob::pattern::Case;
use gix_ignore::glob::wildmatch;
use rustix::fs::{Mode, OFlags};

/// The ignore file of a tree, in its root. It is never packed.
pub(crate) const IGNORE_FILE: &[u8] = b".aciignore";

/// More is no list that somebody wrote.
const MAX_BYTES: u64 = 1 << 20;

/// A text that is no pattern: empty, or a comment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pattern: an empty line or a comment matches nothing")]
pub struct PatternError(pub String);

/// Which files a pattern of gitignore's form means: `*.log` anywhere, `/etc/motd` from the root
/// on, `cache/` only folders. `/` alone means the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Option<gix_ignore::glob::Pattern>);

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, PatternError> {
        if text == "/" {
            return Ok(Self(None));
        }
        gix_ignore::glob::Pattern::from_bytes_without_negation(text.as_bytes())
            .map(|pattern| Self(Some(pattern)))
            .ok_or_else(|| PatternError(text.to_owned()))
    }

    pub(crate) fn matches(&self, below: &[u8], directory: bool) -> bool {
        match &self.0 {
            None => below.is_empty(),
            Some(pattern) => !below.is_empty() && matches(pattern, below, directory),
        }
    }
}

fn matches(pattern: &gix_ignore::glob::Pattern, below: &[u8], directory: bool) -> bool {
    let name = below.iter().rposition(|&b| b == b'/').map(|slash| slash + 1);
    let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
    pattern.matches_repo_relative_path(below.into(), name, Some(directory), Case::Sensitive, mode)
}

/// A list of ignore patterns, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore(Vec<gix_ignore::glob::Pattern>);

impl Ignore {
    /// Adds one pattern, as a line of an ignore file.
    pub fn add(&mut self, pattern: &str) -> Result<(), PatternError> {
        let before = self.0.len();
        self.add_lines(pattern.as_bytes());
        if self.0.len() > before { Ok(()) } else { Err(PatternError(pattern.to_owned())) }
    }

    /// Adds the patterns of an ignore file, one a line. Names need not be UTF-8.
    pub fn add_lines(&mut self, lines: &[u8]) {
        self.0.extend(gix_ignore::parse(lines, false).map(|(pattern, ..)| pattern));
    }

    /// Adds exactly this path below the root of the tree.
    pub fn add_path(&mut self, below: &Path) {
        let mut pattern = b"/".to_vec();
        for &byte in below.as_os_str().as_bytes() {
            match byte {
                // Would end the line.
                b'\n' | b'\r' => pattern.push(b'?'),
                b'*' | b'?' | b'[' | b'\\' | b' ' => pattern.extend([b'\\', byte]),
                _ => pattern.push(byte),
            }
        }
        self.add_lines(&pattern);
    }

    /// Adds the patterns of the ignore file at `path`: a regular file of at most 1 MiB.
    pub fn add_file(&mut self, path: &Path) -> io::Result<()> {
        if !fs::metadata(path)?.is_file() {
            return Err(invalid("it is no regular file"));
        }
        self.read(File::open(path)?)
    }

    /// The patterns of the tree's own ignore file, followed by `more`.
    pub(crate) fn of_tree(root: &Path, more: &Self) -> io::Result<Self> {
        let mut all = Self::default();
        let path = root.join(std::str::from_utf8(IGNORE_FILE).unwrap_or_default());
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            // A link would have files of this machine decide what is in the image.
            Ok(metadata) if !metadata.is_file() => return Err(invalid("it is no regular file")),
            Ok(_) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                all.read(rustix::fs::open(&path, flags, Mode::empty())?.into())?;
            }
        }
        all.0.extend(more.0.iter().cloned());
        Ok(all)
    }

    fn read(&mut self, file: File) -> io::Result<()> {
        let mut lines = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut lines)?;
        if lines.len() as u64 > MAX_BYTES {
            return Err(invalid("it is longer than 1 MiB"));
        }
        self.add_lines(&lines);
        Ok(())
    }

    /// Whether the patterns leave this out. Its folders are asked before it: see [`Self::hidden`].
    pub(crate) fn hides(&self, below: &[u8], directory: bool) -> bool {
        let decides = self.0.iter().rev().find(|pattern| matches(pattern, below, directory));
        decides.is_some_and(|pattern| !pattern.is_negative())
    }

    /// Whether this file, or a folder it is in, is left out.
    pub(crate) fn hidden(&self, below: &[u8]) -> bool {
        let slashes = below.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        below == IGNORE_FILE
            || slashes.into_iter().any(|slash| self.hides(&below[..slash], true))
            || self.hides(below, false)
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(lines: &str) -> Ignore {
        let mut ignore = Ignore::default();
        ignore.add_lines(lines.as_bytes());
        ignore
    }

    #[test]
    fn last_pattern_that_matches_decides() {
        let ignore = ignore("*.log\n!keep.log\n/keep.log\n");
        assert!(ignore.hides(b"a/x.log", false));
        assert!(!ignore.hides(b"a/keep.log", false));
        assert!(ignore.hides(b"keep.log", false));
    }

    #[test]
    fn file_in_a_folder_left_out_is_hidden_with_it() {
        let ignore = ignore("cache/\n!cache/kept\n");
        assert!(ignore.hidden(b"var/cache/kept"));
        assert!(!ignore.hidden(b"cache"), "a file is no folder");
    }

    #[test]
    fn pattern_and_name_need_not_be_utf8() {
        let mut ignore = Ignore::default();
        ignore.add_lines(b"caf\xe9*\n");
        assert!(ignore.hides(b"caf\xe9-1", false));
        assert!(!ignore.hides("café-1".as_bytes(), false));
    }

    #[test]
    fn path_is_left_out_whatever_it_is_called() {
        let odd = ["a", "*", "a?", "[a]", "!a", "#a", "a ", " ", "a\\", "\\*", "b/*.c"];
        for name in odd {
            let mut ignore = Ignore::default();
            ignore.add_path(Path::new(name));
            for other in odd.iter().chain(&["x", "x/a", "aa", "b/.c"]) {
                assert_eq!(
                    ignore.hides(other.as_bytes(), false),
                    *other == name,
                    "{name:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn path_with_a_line_end_is_left_out() {
        for name in ["a\nb", "a\r"] {
            let mut ignore = Ignore::default();
            ignore.add_path(Path::new(name));
            assert!(ignore.hides(name.as_bytes(), false) && !ignore.hides(b"b", true), "{name:?}");
        }
    }

    #[test]
    fn pattern_that_is_none_is_refused() {
        for text in ["", "# a comment", "   "] {
            assert_eq!(Ignore::default().add(text), Err(PatternError(text.to_owned())), "{text:?}");
        }
        Ignore::default().add("\\# no comment").unwrap();
    }

    #[test]
    fn pattern_of_a_rule_means_the_root_by_a_slash() {
        let root = Pattern::new("/").unwrap();
        assert!(root.matches(b"", true));
        assert!(!root.matches(b"a", true));
        assert!(!Pattern::new("*").unwrap().matches(b"", true));
        assert!(Pattern::new("!a").unwrap().matches(b"!a", false), "a rule takes nothing back");
    }
}
