//! The fields of an isolator's value.

use serde_json::{Map, Value};

use super::IsolatorError;
use crate::json::folded;

/// Longest piece of a value that an error repeats, in characters.
const SHOWN: usize = 64;

/// An object whose keys are the spec's, or in no way like them.
pub(super) struct Object<'a> {
    name: &'a str,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(super) fn of(
        name: &'a str,
        value: &'a Value,
        keys: &[&'static str],
    ) -> Result<Self, IsolatorError> {
        let Value::Object(fields) = value else {
            return Err(wrong(name, "value", "an object", value));
        };
        for found in fields.keys() {
            // {"limit": "1G", "Limit": "8G"} is 8G to the Go tools.
            let twin = |key: &&&str| **key != found && folded(key) == folded(found);
            if let Some(expected) = keys.iter().find(twin) {
                let (name, found) = (name.to_owned(), found.clone());
                return Err(IsolatorError::KeyCase { name, found, expected });
            }
        }
        Ok(Self { name, fields })
    }

    /// A field's value; `null` is as good as absent, since Go writes it so.
    pub(super) fn field(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn switch(&self, key: &str) -> Result<bool, IsolatorError> {
        match self.field(key) {
            None => Ok(false),
            Some(Value::Bool(switch)) => Ok(*switch),
            Some(other) => Err(self.wrong(key, "true or false", other)),
        }
    }

    /// A text; empty where it is absent.
    pub(super) fn text(&self, key: &str) -> Result<String, IsolatorError> {
        match self.field(key) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.wrong(key, "a text", other)),
        }
    }

    /// A list of texts that has at least one.
    pub(super) fn set(&self) -> Result<Vec<String>, IsolatorError> {
        let items = match self.field("set") {
            None => &[],
            Some(Value::Array(items)) => items.as_slice(),
            Some(other) => return Err(self.wrong("set", "a list of texts", other)),
        };
        if items.is_empty() {
            return Err(IsolatorError::EmptySet { name: self.name.to_owned() });
        }
        let text = |(index, item): (usize, &Value)| match item {
            Value::String(text) => Ok(text.clone()),
            other => Err(self.wrong(&format!("set[{index}]"), "a text", other)),
        };
        items.iter().enumerate().map(text).collect()
    }

    fn wrong(&self, key: &str, wanted: &'static str, found: &Value) -> IsolatorError {
        wrong(self.name, &format!("value.{key}"), wanted, found)
    }
}

pub(super) fn wrong(name: &str, field: &str, wanted: &'static str, found: &Value) -> IsolatorError {
    let mut found = found.to_string();
    if let Some((end, _)) = found.char_indices().nth(SHOWN) {
        found.truncate(end);
        found.push('…');
    }
    IsolatorError::Type { name: name.to_owned(), field: field.to_owned(), wanted, found }
}
