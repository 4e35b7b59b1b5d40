//! One decision, and how it is drawn.

use std::fmt;

use serde::Serialize;

use crate::error::printable_line;

/// How a decision went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// For the image.
    Yes,
    /// Against it.
    No,
    /// Neither: what was looked at, and what follows from it.
    Note,
}

/// One decision, and those it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was decided, and by which rule.
    pub what: String,
    /// How it went.
    pub outcome: Outcome,
    /// What it rests on, in the order it was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

impl Step {
    /// A step of its own, with others below it.
    pub fn new(outcome: Outcome, what: impl Into<String>, steps: Vec<Step>) -> Self {
        // Names, user IDs and error texts are strangers' words.
        Self { what: printable_line(&what.into()), outcome, steps }
    }

    pub(crate) fn yes(what: impl Into<String>) -> Self {
        Self::new(Outcome::Yes, what, Vec::new())
    }

    pub(crate) fn no(what: impl Into<String>) -> Self {
        Self::new(Outcome::No, what, Vec::new())
    }

    pub(crate) fn note(what: impl Into<String>) -> Self {
        Self::new(Outcome::Note, what, Vec::new())
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, lead: &str) -> fmt::Result {
        let mark = match self.outcome {
            Outcome::Yes => "yes  ",
            Outcome::No => "no   ",
            Outcome::Note => "     ",
        };
        writeln!(f, "{mark}{}", self.what)?;
        for (at, step) in self.steps.iter().enumerate() {
            let last = at + 1 == self.steps.len();
            write!(f, "{lead}{}", if last { "└─ " } else { "├─ " })?;
            step.draw(f, &format!("{lead}{}", if last { "   " } else { "│  " }))?;
        }
        Ok(())
    }
}

/// The tree, a line for each step.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.draw(f, "")
    }
}
