//! Editing a JSON text without touching what is not edited.

use super::path::Step;
use super::{JsonPath, Kind, Node};

/// A JSON text that is edited in place.
///
/// Every byte that an edit does not name stays as it is: unknown fields and their order, white
/// space, the spelling of numbers and strings.
///
/// ```
/// let mut document = aci::Document::parse(br#"{"name": "a", "later": 1.50}"#)?;
/// document.set(&"name".parse()?, "\"b\"")?;
/// document.set(&"app.user".parse()?, "\"0\"")?;
/// assert_eq!(document.text(), r#"{"name": "b", "later": 1.50, "app": {"user":"0"}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    text: String,
}

/// Why an edit cannot be made. The text is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text, or the value to set, is no acceptable JSON.
    #[error("not acceptable as JSON: {0}")]
    Json(String),
    /// The path leads through, or names, something of another kind.
    #[error("{path} is {found}, not {wanted}")]
    Kind {
        /// How far the path could be followed.
        path: JsonPath,
        /// What the path needs there.
        wanted: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A list is shorter than the path wants.
    #[error("{path} has only {length} items, counted from 0")]
    Index {
        /// The list.
        path: JsonPath,
        /// How many items it has.
        length: usize,
    },
}

/// How far a path leads, and what is left of it.
struct Found<'n, 'a> {
    node: &'n Node<'a>,
    rest: usize,
}

impl Document {
    /// Takes a text that is one JSON value, read as strictly as a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, EditError> {
        Node::parse(bytes).map_err(|fault| EditError::Json(fault.message))?;
        // It was read as text a moment ago.
        String::from_utf8(bytes.to_vec())
            .map(|text| Self { text })
            .map_err(|error| EditError::Json(error.to_string()))
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    /// The value at `path` as it is written.
    pub fn value(&self, path: &JsonPath) -> Option<&str> {
        let root = self.root().ok()?;
        let found = follow(&root, path).ok()?;
        (found.rest == 0).then(|| {
            let start = found.node.at;
            &self.text[start..start + found.node.raw.len()]
        })
    }

    /// The items of the list at `path` as they are written; none where there is no list.
    pub fn items(&self, path: &JsonPath) -> Vec<&str> {
        let Ok(root) = self.root() else { return Vec::new() };
        match follow(&root, path) {
            Ok(Found { node: Node { kind: Kind::List(items), .. }, rest: 0 }) => {
                items.iter().map(|item| &self.text[item.at..item.at + item.raw.len()]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Puts `json` at `path`: in place of what is there, or as a new last member or item.
    /// Objects on the way that are absent, or `null`, are made.
    pub fn set(&mut self, path: &JsonPath, json: &str) -> Result<(), EditError> {
        Node::parse(json.as_bytes()).map_err(|fault| EditError::Json(fault.message))?;
        let json = json.trim();
        let root = self.root()?;
        let Found { node, rest } = follow(&root, path)?;
        let (there, steps) = path.0.split_at(path.0.len() - rest);
        let null = matches!(node.kind, Kind::Null);
        // A list that is made for an item has no items before that one.
        let made = if null { 0 } else { 1 };
        for (at, step) in steps.iter().enumerate().skip(made) {
            if matches!(step, Step::Index(index) if *index > 0) {
                let path = JsonPath([there, &steps[..at]].concat());
                return Err(EditError::Index { path, length: 0 });
            }
        }
        let (at, length, text) = match steps {
            [] => (node.at, node.raw.len(), json.to_owned()),
            steps if null => (node.at, node.raw.len(), wrapped(steps, json)),
            [first, inner @ ..] => {
                let (at, text) = self.insertion(node, first, &wrapped(inner, json));
                (at, 0, text)
            }
        };
        self.text.replace_range(at..at + length, &text);
        Ok(())
    }

    /// Removes what is at `path`; says whether there was something.
    pub fn remove(&mut self, path: &JsonPath) -> Result<bool, EditError> {
        let root = self.root()?;
        let Some((last, parent)) = path.0.split_last() else {
            return Err(EditError::Kind {
                path: path.clone(),
                wanted: "a member or an item",
                found: "the whole text",
            });
        };
        let Found { node, rest } = match follow(&root, &JsonPath(parent.to_vec())) {
            // Nothing there is nothing to remove.
            Err(EditError::Index { .. }) => return Ok(false),
            other => other?,
        };
        if rest > 0 {
            return Ok(false);
        }
        let spans: Vec<(usize, usize)> = match &node.kind {
            Kind::Object(members) => {
                members.iter().map(|m| (m.key_at, m.value.at + m.value.raw.len())).collect()
            }
            Kind::List(items) => items.iter().map(|n| (n.at, n.at + n.raw.len())).collect(),
            _ => Vec::new(),
        };
        let index = match (last, &node.kind) {
            (Step::Key(key), Kind::Object(members)) => members.iter().position(|m| m.key == *key),
            (Step::Index(index), Kind::List(items)) => (*index < items.len()).then_some(*index),
            _ => None,
        };
        let Some(index) = index else { return Ok(false) };
        // With the comma before it, or after it where it is the first.
        let (start, end) = match (index, spans.get(index + 1)) {
            (0, None) => (node.at + 1, node.at + node.raw.len() - 1),
            (0, Some(next)) => (spans[0].0, next.0),
            (index, _) => (spans[index - 1].1, spans[index].1),
        };
        self.text.replace_range(start..end, "");
        Ok(true)
    }

    /// Where a new last member or item goes, and its text with the comma and white space
    /// that its neighbours have.
    fn insertion(&self, node: &Node<'_>, step: &Step, json: &str) -> (usize, String) {
        let (last, gap) = match &node.kind {
            Kind::Object(members) => (
                members.last().map(|m| m.value.at + m.value.raw.len()),
                members.last().map(|m| self.gap_before(m.key_at)),
            ),
            Kind::List(items) => (
                items.last().map(|n| n.at + n.raw.len()),
                items.last().map(|n| self.gap_before(n.at)),
            ),
            _ => (None, None),
        };
        let gap = gap.unwrap_or_default();
        // As its neighbours have it: `"a": 1`, or `"a":1`.
        let colon = match &node.kind {
            Kind::Object(members) => members.last().map_or(":", |member| {
                let between = &self.text[member.key_at..member.value.at];
                if between.ends_with(char::is_whitespace) { ": " } else { ":" }
            }),
            _ => ":",
        };
        let item = match step {
            Step::Key(key) => format!("{}{colon}{json}", serde_json::Value::from(key.as_str())),
            Step::Index(_) => json.to_owned(),
        };
        match last {
            Some(end) => (end, format!(",{gap}{item}")),
            None => (node.at + 1, item),
        }
    }

    /// The white space before `at`.
    fn gap_before(&self, at: usize) -> &str {
        let before = &self.text[..at];
        &before[before.trim_end_matches([' ', '\t', '\r', '\n']).len()..]
    }

    fn root(&self) -> Result<Node<'_>, EditError> {
        Node::parse(self.text.as_bytes()).map_err(|fault| EditError::Json(fault.message))
    }
}

/// A value inside objects that are not there yet.
fn wrapped(steps: &[Step], json: &str) -> String {
    steps.iter().rev().fold(json.to_owned(), |inner, step| match step {
        Step::Key(key) => format!("{{{}:{inner}}}", serde_json::Value::from(key.as_str())),
        Step::Index(_) => format!("[{inner}]"),
    })
}

/// Follows a path as far as it leads: to its end, or to where something is absent.
fn follow<'n, 'a>(root: &'n Node<'a>, path: &JsonPath) -> Result<Found<'n, 'a>, EditError> {
    let mut node = root;
    for (at, step) in path.0.iter().enumerate() {
        let rest = path.0.len() - at;
        let here = || JsonPath(path.0[..at].to_vec());
        let next = match (step, &node.kind) {
            (_, Kind::Null) => return Ok(Found { node, rest }),
            (Step::Key(key), Kind::Object(_)) => node.member(key).map(|member| &member.value),
            (Step::Index(index), Kind::List(items)) if *index <= items.len() => items.get(*index),
            (Step::Index(_), Kind::List(items)) => {
                return Err(EditError::Index { path: here(), length: items.len() });
            }
            (Step::Key(_), _) => {
                let found = node.what();
                return Err(EditError::Kind { path: here(), wanted: "an object", found });
            }
            (Step::Index(_), _) => {
                let found = node.what();
                return Err(EditError::Kind { path: here(), wanted: "a list", found });
            }
        };
        match next {
            Some(next) => node = next,
            None => return Ok(Found { node, rest }),
        }
    }
    Ok(Found { node, rest: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edit: impl FnOnce(&mut Document)) -> String {
        let mut document = Document::parse(text.as_bytes()).unwrap();
        edit(&mut document);
        let text = document.into_bytes();
        Node::parse(&text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn set(text: &str, path: &str, json: &str) -> String {
        edited(text, |document| document.set(&path.parse().unwrap(), json).unwrap())
    }

    fn removed(text: &str, path: &str) -> String {
        edited(text, |document| assert!(document.remove(&path.parse().unwrap()).unwrap()))
    }

    #[test]
    fn set_replaces_in_place() {
        let text = "{ \"x\" : 1.0e5,\n  \"name\":\"a\" , \"y\":\"\\u0041\" }";
        assert_eq!(set(text, "name", "\"b\""), text.replace("\"a\"", "\"b\""));
        assert_eq!(set("{\"a\":[1,[2]]}", "a[1][0]", " 3 "), "{\"a\":[1,[3]]}");
        assert_eq!(set("{\"a\":null}", "a.b", "1"), "{\"a\":{\"b\":1}}");
        assert_eq!(set("[1]", "", "{}"), "{}");
    }

    #[test]
    fn set_adds_with_its_neighbours_white_space() {
        assert_eq!(set("{}", "a", "1"), "{\"a\":1}");
        assert_eq!(set("{\"a\":1}", "b", "2"), "{\"a\":1,\"b\":2}");
        assert_eq!(set("{\n  \"a\": 1\n}\n", "b", "2"), "{\n  \"a\": 1,\n  \"b\": 2\n}\n");
        assert_eq!(set("{\"l\":[ 1, 2 ]}", "l[2]", "3"), "{\"l\":[ 1, 2, 3 ]}");
        assert_eq!(set("{\"a\":1}", "l[0].x", "3"), "{\"a\":1,\"l\":[{\"x\":3}]}");
        assert_eq!(set("{\"l\":[]}", "l[0]", "3"), "{\"l\":[3]}");
    }

    #[test]
    fn remove_takes_the_comma_along() {
        assert_eq!(removed("{\"a\":1, \"b\":2, \"c\":3}", "a"), "{\"b\":2, \"c\":3}");
        assert_eq!(removed("{\"a\":1, \"b\":2, \"c\":3}", "b"), "{\"a\":1, \"c\":3}");
        assert_eq!(removed("{\"a\":1, \"b\":2, \"c\":3}", "c"), "{\"a\":1, \"b\":2}");
        assert_eq!(removed("{ \"a\":1 }", "a"), "{}");
        assert_eq!(removed("{\"l\":[1,2,3]}", "l[1]"), "{\"l\":[1,3]}");
    }

    #[test]
    fn document_set_makes_no_list_with_a_gap() {
        for (text, path, at) in [("{}", "a.b[1]", "a.b"), ("{\"a\":null}", "a[2].x", "a")] {
            let mut document = Document::parse(text.as_bytes()).unwrap();
            let wanted = EditError::Index { path: at.parse().unwrap(), length: 0 };
            assert_eq!(document.set(&path.parse().unwrap(), "1"), Err(wanted));
            assert_eq!(document.text(), text);
        }
        assert_eq!(set("{}", "a.b[0]", "1"), "{\"a\":{\"b\":[1]}}");
    }

    #[test]
    fn edits_that_cannot_be_made_change_nothing() {
        let mut document = Document::parse(b"{\"a\":1,\"l\":[1]}").unwrap();
        for (path, json) in
            [("a.b", "1"), ("l[5]", "1"), ("a[0]", "1"), ("a", "{\"x\":}"), ("l.x", "1")]
        {
            assert!(document.set(&path.parse().unwrap(), json).is_err(), "{path}");
        }
        assert!(!document.remove(&"absent.x".parse().unwrap()).unwrap());
        assert!(!document.remove(&"l[7]".parse().unwrap()).unwrap());
        assert!(document.remove(&JsonPath::default()).is_err());
        assert_eq!(document.text(), "{\"a\":1,\"l\":[1]}");
        assert_eq!(document.value(&"l[0]".parse().unwrap()), Some("1"));
        assert_eq!(document.items(&"l".parse().unwrap()), ["1"]);
        assert!(document.items(&"a".parse().unwrap()).is_empty());
        assert!(Document::parse(b"{\"a\":1,\"a\":2}").is_err());
    }
}
