//! Sets of capabilities and of system calls (spec: ace.md, "Linux Isolators").

use serde_json::Value;

use super::IsolatorError;
use super::object::Object;

/// Names of capabilities, at least one. Whether Linux has them is not asked: a
/// newer kernel has more of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapabilitySet {
    set: Vec<String>,
}

impl CapabilitySet {
    pub(super) fn parse(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        Ok(Self { set: Object::of(name, value, &["set"])?.set()? })
    }

    /// The names, as written.
    pub fn names(&self) -> &[String] {
        &self.set
    }
}

/// Names of system calls, and what a blocked one returns.
///
/// - There is at least one name; those that begin with `@` stand for many calls.
/// - The error code, where there is one, is `E` and upper case letters or digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeccompSet {
    set: Vec<String>,
    errno: Option<String>,
}

impl SeccompSet {
    pub(super) fn parse(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        let object = Object::of(name, value, &["set", "errno"])?;
        let (set, errno) = (object.set()?, object.text("errno")?);
        let capital = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        if errno.is_empty() {
            return Ok(Self { set, errno: None });
        }
        if !errno.starts_with('E') || !errno.bytes().all(capital) {
            return Err(IsolatorError::Errno { name: name.to_owned(), found: errno });
        }
        Ok(Self { set, errno: Some(errno) })
    }

    /// The names of calls and wildcards, as written.
    pub fn names(&self) -> &[String] {
        &self.set
    }

    /// The name of the error code that a blocked call returns. Without one, the
    /// program is ended by SIGSYS.
    pub fn errno(&self) -> Option<&str> {
        self.errno.as_deref()
    }
}
