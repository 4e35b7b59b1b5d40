//! Where in a JSON text: `app.ports[0].port`, `app.userLabels["any thing"]`.

use std::fmt;
use std::str::FromStr;

/// A path that is built on the way down, without copying.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => {
                parent.fmt(f)?;
                write_key(f, key, matches!(parent, Self::Root))
            }
            Self::Index(parent, index) => {
                parent.fmt(f)?;
                write!(f, "[{index}]")
            }
        }
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn write_key(f: &mut fmt::Formatter<'_>, key: &str, first: bool) -> fmt::Result {
    if is_plain(key) {
        let dot = if first { "" } else { "." };
        write!(f, "{dot}{key}")
    } else {
        write!(f, "[{}]", serde_json::Value::from(key))
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// Where in a JSON text, as a person writes it.
///
/// - keys are joined with dots: `app.workingDirectory`
/// - list items have brackets, counted from 0: `app.ports[0].port`
/// - other keys stand in brackets as JSON strings: `app.userLabels["any thing"]`
/// - the empty path is the whole text
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JsonPath(pub(crate) Vec<Step>);

/// A text is no JSON path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no path such as app.ports[0].port or app.userLabels[\"any thing\"]: {fault}")]
pub struct PathError {
    text: String,
    fault: &'static str,
}

impl JsonPath {
    /// The path of a member of what this path names.
    pub fn key(&self, key: &str) -> Self {
        Self(self.0.iter().cloned().chain([Step::Key(key.to_owned())]).collect())
    }

    /// The path of an item of the list that this path names.
    pub fn index(&self, index: usize) -> Self {
        Self(self.0.iter().cloned().chain([Step::Index(index)]).collect())
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, step)| match step {
            Step::Key(key) => write_key(f, key, at == 0),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}

impl FromStr for JsonPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let error = |fault| PathError { text: text.to_owned(), fault };
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (step, after) = bracket(inner).map_err(error)?;
                steps.push(step);
                rest = after;
                continue;
            }
            let key = match rest.strip_prefix('.') {
                Some(_) if steps.is_empty() => return Err(error("it begins with a dot")),
                Some(key) => key,
                None if steps.is_empty() => rest,
                None => return Err(error("a dot or a bracket is missing after ]")),
            };
            let end = key.find(['.', '[']).unwrap_or(key.len());
            if end == 0 {
                return Err(error("a key is empty"));
            }
            steps.push(Step::Key(key[..end].to_owned()));
            rest = &key[end..];
        }
        Ok(Self(steps))
    }
}

/// What stands after a `[`: an index or a JSON string, and its `]`.
fn bracket(inner: &str) -> Result<(Step, &str), &'static str> {
    if !inner.starts_with('"') {
        let (digits, after) = inner.split_once(']').ok_or("a ] is missing")?;
        let index = digits.parse().map_err(|_| "between [ and ] stands no number")?;
        return Ok((Step::Index(index), after));
    }
    let mut strings = serde_json::Deserializer::from_str(inner).into_iter::<String>();
    let key = strings.next().and_then(Result::ok).ok_or("a key in quotes is no JSON string")?;
    let after = inner[strings.byte_offset()..].strip_prefix(']').ok_or("a ] is missing")?;
    Ok((Step::Key(key), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_reads_what_it_prints() {
        for text in
            ["", "name", "app.ports[0].port", "app.userLabels[\"any \\\"thing\"].x", "[3][\"\"]"]
        {
            let path: JsonPath = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
        }
        let app = Path::Key(&Path::Root, "app");
        let odd = Path::Key(&app, "a.b");
        assert_eq!(Path::Index(&odd, 2).to_string(), "app[\"a.b\"][2]");
        assert_eq!(JsonPath::default().key("a").index(1).key("b c").to_string(), "a[1][\"b c\"]");
    }

    #[test]
    fn path_refuses() {
        for bad in [".a", "a.", "a..b", "a[", "a[x]", "a[0", "a[0]b", "a[\"x]", "a[\"x\""] {
            assert!(bad.parse::<JsonPath>().is_err(), "{bad}");
        }
    }
}
