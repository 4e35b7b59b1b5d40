//! Numbers, switches and tables of texts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::IsolatorError;
use super::object::wrong;

/// How much likelier (up to 1000) or less likely (down to −1000) the kernel ends
/// the program when memory runs out: `oom_score_adj` of proc(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OomScoreAdj(i64);

impl OomScoreAdj {
    pub(super) fn parse(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        ranged(name, value, -1000, 1000).map(Self)
    }

    /// The number.
    pub fn as_i64(self) -> i64 {
        self.0
    }
}

/// The weight of processor time against that of others, 2 to 262144.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuShares(i64);

impl CpuShares {
    pub(super) fn parse(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        ranged(name, value, 2, 262_144).map(Self)
    }

    /// The number.
    pub fn as_u64(self) -> u64 {
        self.0.unsigned_abs()
    }
}

/// Kernel parameters, by their names of sysctl(8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    parameters: BTreeMap<String, String>,
}

impl Sysctl {
    pub(super) fn parse(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        let Value::Object(fields) = value else {
            return Err(wrong(name, "value", "an object of texts", value));
        };
        let text = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            other => Err(wrong(name, &format!("value[{key:?}]"), "a text", other)),
        };
        Ok(Self { parameters: fields.iter().map(text).collect::<Result<_, _>>()? })
    }

    /// Names and values.
    pub fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }
}

pub(super) fn switch(name: &str, value: &Value) -> Result<bool, IsolatorError> {
    value.as_bool().ok_or_else(|| wrong(name, "value", "true or false", value))
}

fn ranged(name: &str, value: &Value, least: i64, most: i64) -> Result<i64, IsolatorError> {
    let found = value.as_i64().ok_or_else(|| wrong(name, "value", "a whole number", value))?;
    if (least..=most).contains(&found) {
        return Ok(found);
    }
    Err(IsolatorError::Range { name: name.to_owned(), least, most, found })
}
