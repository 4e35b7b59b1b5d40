//! What became of each thing an image asked for.
//!
//! "An executor MUST make information about which isolators were ignored, enforced
//! or modified available to the user" (ace.md, "Isolators").

use std::fmt;

use serde::Serialize;

use crate::error::printable;

/// What became of one thing the image asked for, or of one the caller should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about: an isolator's name, `app.ports`, `mountPoint data`, …
    pub subject: String,
    /// What became of it.
    pub outcome: Outcome,
    /// In words.
    pub detail: String,
}

/// What became of something an image asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Done as asked.
    Enforced,
    /// Done in another way than asked.
    Modified,
    /// Not done.
    Ignored,
}

impl Note {
    pub(crate) fn enforced(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), outcome: Outcome::Enforced, detail: detail.into() }
    }

    pub(crate) fn modified(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), outcome: Outcome::Modified, detail: detail.into() }
    }

    pub(crate) fn ignored(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), outcome: Outcome::Ignored, detail: detail.into() }
    }

    /// Whether the user has to be told: it was not done as asked.
    pub fn is_warning(&self) -> bool {
        self.outcome != Outcome::Enforced
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Enforced => "enforced",
            Outcome::Modified => "modified",
            Outcome::Ignored => "ignored",
        };
        // Names and paths in here are the image's.
        let (subject, detail) = (printable(&self.subject), printable(&self.detail));
        write!(f, "{subject} {outcome}: {detail}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_does_not_steer_the_terminal() {
        let note = Note::ignored("mountPoint \u{1b}[2J", "path /\u{202e}x\r");
        let shown = note.to_string();
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\r']), "{shown:?}");
    }
}
