//! `--exclude`: patterns by the rules of `.gitignore`, on paths below the rootfs.

use gix_ignore::glob::pattern::Case;
use gix_ignore::glob::wildmatch::Mode;

pub(super) use gix_ignore::glob::Pattern;

/// One pattern of the command line.
pub(super) fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::from_bytes(text.as_bytes())
        .ok_or_else(|| format!("{text:?} is no pattern: an empty line matches nothing"))
}

/// The patterns, in their order: the last one that matches decides.
pub(super) struct Excludes(Vec<Pattern>);

impl Excludes {
    pub(super) fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a path is left out, by itself or with a folder it is in.
    pub(super) fn hidden(&self, below: &[u8], directory: bool) -> bool {
        let slashes = below.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        slashes.map(|end| (end, true)).chain([(below.len(), directory)]).any(|(end, directory)| {
            let path = &below[..end];
            let name = path.iter().rposition(|&b| b == b'/').map(|slash| slash + 1);
            let mode = Mode::NO_MATCH_SLASH_LITERAL;
            let found = self.0.iter().rev().find(|pattern| {
                let (directory, case) = (Some(directory), Case::Sensitive);
                pattern.matches_repo_relative_path(path.into(), name, directory, case, mode)
            });
            found.is_some_and(|pattern| !pattern.is_negative())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes_follow_the_rules_of_gitignore() {
        let excludes =
            |all: &[&str]| Excludes::new(all.iter().map(|p| pattern(p).unwrap()).collect());
        let doc = excludes(&["/usr/share/doc", "*.pyc", "cache/", "!keep.pyc"]);
        for (path, directory, hidden) in [
            ("usr/share/doc", true, true),
            ("usr/share/doc/a/b", false, true),
            ("opt/usr/share/doc", true, false),
            ("a/b.pyc", false, true),
            ("a/keep.pyc", false, false),
            ("var/cache", true, true),
            ("var/cache", false, false),
            ("var/cache/x", false, true),
            ("usr/share/doc/keep.pyc", false, true),
        ] {
            assert_eq!(doc.hidden(path.as_bytes(), directory), hidden, "{path}");
        }
        assert!(pattern("").is_err());
    }
}
