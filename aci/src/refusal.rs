//! What a refusal tells: the same four things on a terminal, in JSON and over HTTP.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why something was refused, in words a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refusal {
    /// A stable word for programs: `signature-invalid`, `signer-not-trusted`, `name-mismatch`, …
    pub code: String,
    /// One sentence: what happened.
    pub message: String,
    /// What would have been accepted.
    pub wanted: String,
    /// What was there instead.
    pub found: String,
    /// The rule, with its source.
    pub rule: String,
    /// What to do next.
    pub next: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        writeln!(f, "  wanted: {}", self.wanted)?;
        writeln!(f, "  found:  {}", self.found)?;
        writeln!(f, "  rule:   {}", self.rule)?;
        write!(f, "  next:   {}", self.next)
    }
}

/// An error that is a refusal by trust, verification or format, and can say why.
pub trait Refuse: std::error::Error {
    /// The four things to tell.
    fn refusal(&self) -> Refusal;
}
