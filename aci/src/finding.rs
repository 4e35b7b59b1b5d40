//! What a check has found: every fault at once, each with its place.

use std::fmt;

use serde::Serialize;

/// Findings of one severity that are kept: what is hostile has as many faults as it has bytes, and
/// a crowd of warnings must not hide an error.
pub(crate) const MAX_FINDINGS: usize = 500;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Acceptable, and probably not what its author means.
    Warning,
    /// Not acceptable.
    Error,
}

/// One thing found in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A stable word for programs: `key-duplicate`, `required`, `label-platform`, …
    pub code: &'static str,
    /// The JSON path, as `app.ports[0].port`; empty for the whole text.
    pub path: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The character in the line, counted from 1.
    pub column: u32,
    /// What was found, and what was wanted.
    pub message: String,
    /// Where the rule stands: a section of the spec, or an RFC.
    pub rule: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.path.is_empty() {
            write!(f, ", {}", self.path)?;
        }
        write!(f, ": {} ({})", self.message, self.rule)
    }
}

/// A value that was checked, and all that was found on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked<T> {
    /// The value; absent where a finding is an error.
    pub value: Option<T>,
    /// The findings, in the order of the text: up to 500 errors, and as many warnings.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub left_out: usize,
}

impl<T> Checked<T> {
    /// The value, or the errors among the findings, of which there is at least one.
    pub(crate) fn into_result(self) -> Result<T, Vec<Finding>> {
        let Self { value, findings, .. } = self;
        value.ok_or_else(|| {
            findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect()
        })
    }
}
