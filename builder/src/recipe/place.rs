//! Reading TOML, with faults at their place.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::de::{DeTable, DeValue};

use super::fault::{RecipeError, RecipeFault};

/// Reads a document. A fault is told at the value it is in, with the key of that.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, RecipeError> {
    let syntax = |error: &toml::de::Error| {
        RecipeError::at(text, byte_of(error), String::new(), error.message().to_owned())
    };
    let document = toml::Deserializer::parse(text).map_err(|error| syntax(&error))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let key: Vec<String> = error.path().iter().map(part).collect();
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let inner = error.inner();
        let byte = match error.path().iter().next_back() {
            // The span is that of the whole list.
            Some(Segment::Seq { .. }) => place(text, &key),
            _ => byte_of(inner),
        };
        RecipeError::at(text, byte, written(&key), inner.message().to_owned())
    })
}

fn part(segment: &Segment) -> String {
    match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => key.clone(),
        Segment::Enum { variant } => variant.clone(),
        Segment::Unknown => "?".to_owned(),
    }
}

fn byte_of(error: &toml::de::Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

/// A fault at a key: names of tables and places in lists, the first being 0.
pub(super) fn fault(text: &str, key: &[&str], fault: &RecipeFault) -> RecipeError {
    RecipeError::at(text, place(text, key), written(key), fault.to_string())
}

/// The byte at which a key is, or what it stands in where it was left unsaid.
fn place(text: &str, key: &[&str]) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 0 };
    let (mut table, mut found) = (Some(document.get_ref()), 0);
    let mut value: Option<&DeValue<'_>> = None;
    for part in key {
        let next = match (table, value) {
            (Some(table), _) => table.get_key_value(*part).map(|(key, value)| (key.span(), value)),
            (None, Some(DeValue::Array(list))) => {
                let at: Option<usize> = part.parse().ok();
                at.and_then(|at| list.get(at)).map(|value| (value.span(), value))
            }
            _ => None,
        };
        let Some((span, inner)) = next else { break };
        found = span.start;
        table = inner.get_ref().as_table();
        value = Some(inner.get_ref());
    }
    found
}

/// A key as [`RecipeError::key`] has it.
fn written(key: &[&str]) -> String {
    let mut text = String::new();
    for part in key {
        match part.parse::<usize>() {
            Ok(at) => text.push_str(&format!("[{at}]")),
            Err(_) if text.is_empty() => text.push_str(part),
            Err(_) => text.push_str(&format!(".{part}")),
        }
    }
    text
}
