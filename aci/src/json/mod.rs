//! JSON that has one reading, with the place of everything in it.
//!
//! Go's decoder, which every other appc tool is built on, takes the last of two
//! equal keys and matches keys whatever their case. Text that reads differently
//! there and here is an attack on whoever checks with one and runs with the
//! other, so it is refused. The grammar itself is left to `serde_json`; what is
//! kept here besides is where each value stands, for messages and for edits.

mod document;
mod path;
mod spot;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use document::{Document, EditError};
pub(crate) use path::Path;
pub use path::{JsonPath, PathError};
pub use spot::Extra;
pub(crate) use spot::{Fields, Items, Reader, Spot};

/// How deep lists and objects may be nested. Tools that recurse overflow their stack on
/// less than a manifest's size of `[`; no honest manifest needs a tenth of this.
const MAX_DEPTH: usize = 128;

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// The value as it is written.
    pub(crate) raw: &'a str,
    /// Its offset in the whole text.
    pub(crate) at: usize,
    pub(crate) kind: Kind<'a>,
}

#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Null,
    Bool(bool),
    /// As it is written: a number of any size and precision.
    Number,
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<Member<'a>>),
}

/// A key and its value.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) key_at: usize,
    pub(crate) value: Node<'a>,
}

/// Why a text is not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Offset in the text, in bytes.
    pub(crate) at: usize,
    /// The JSON path of what is wrong there.
    pub(crate) path: String,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl<'a> Node<'a> {
    /// Reads one JSON value with nothing but white space around it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (node, duplicates) = Self::parse_all(bytes)?;
        duplicates.into_iter().next().map_or(Ok(node), Err)
    }

    /// Reads one JSON value, and goes on where a key is given twice: with those faults, it is
    /// not acceptable.
    pub(crate) fn parse_all(bytes: &'a [u8]) -> Result<(Self, Vec<Fault>), Fault> {
        let text = std::str::from_utf8(bytes).map_err(|error| Fault {
            at: error.valid_up_to(),
            path: String::new(),
            code: "json-encoding",
            message: match bytes {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                    "the text is UTF-16; JSON is UTF-8 (RFC 8259)".to_owned()
                }
                _ => "a byte that is no UTF-8; JSON is UTF-8 (RFC 8259)".to_owned(),
            },
        })?;
        if text.starts_with('\u{feff}') {
            return Err(Fault {
                at: 0,
                path: String::new(),
                code: "json-encoding",
                message: "a byte order mark, which JSON cannot begin with (RFC 8259)".to_owned(),
            });
        }
        if let Some(at) = too_deep(text) {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(Fault { at, path: String::new(), code: "json-depth", message });
        }
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| Fault {
            at: offset(text, error.line(), error.column()),
            path: String::new(),
            code: "json-syntax",
            message: without_position(&error),
        })?;
        let tree = Tree { text, duplicates: RefCell::default() };
        let node = tree.node(raw, &Path::Root)?;
        Ok((node, tree.duplicates.into_inner()))
    }

    /// The members, where it is an object.
    pub(crate) fn members(&self) -> Option<&[Member<'a>]> {
        match &self.kind {
            Kind::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The value of `key`, where this is an object that has it.
    pub(crate) fn member(&self, key: &str) -> Option<&Member<'a>> {
        self.members()?.iter().find(|member| member.key == key)
    }

    /// What it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number => "a number",
            Kind::Text(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Object(_) => "an object",
        }
    }
}

/// Where nesting gets too deep. Asked first, in one pass: `[[[[…` overflows the stack of
/// whoever recurses, and is read again at each level by whoever does not.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    text.bytes().position(|b| {
        match b {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}

struct Tree<'a> {
    text: &'a str,
    duplicates: RefCell<Vec<Fault>>,
}

impl<'a> Tree<'a> {
    fn node(&self, raw: &'a RawValue, path: &Path<'_>) -> Result<Node<'a>, Fault> {
        let raw = raw.get();
        let at = self.at(raw);
        let fault = |code, message| Fault { at, path: path.to_string(), code, message };
        let inner = |error: serde_json::Error| fault("json-syntax", without_position(&error));
        let kind = match raw.as_bytes().first() {
            Some(b'n') => Kind::Null,
            Some(b't') => Kind::Bool(true),
            Some(b'f') => Kind::Bool(false),
            Some(b'"') => Kind::Text(text(raw).map_err(inner)?),
            Some(b'[') => {
                let RawItems(items) = serde_json::from_str(raw).map_err(inner)?;
                let node = |(index, raw)| self.node(raw, &Path::Index(path, index));
                Kind::List(items.into_iter().enumerate().map(node).collect::<Result<_, _>>()?)
            }
            Some(b'{') => Kind::Object(self.members(raw, path)?),
            _ => Kind::Number,
        };
        Ok(Node { raw, at, kind })
    }

    fn members(&self, raw: &'a str, path: &Path<'_>) -> Result<Vec<Member<'a>>, Fault> {
        let fault = |at, code, message| Fault { at, path: path.to_string(), code, message };
        let inner = |e: serde_json::Error| fault(self.at(raw), "json-syntax", without_position(&e));
        let RawMembers(found) = serde_json::from_str(raw).map_err(inner)?;
        let mut members = Vec::with_capacity(found.len());
        let mut seen = HashSet::new();
        for (key, value) in found {
            let key_at = self.at(key.get());
            let key = text(key.get()).map_err(inner)?;
            // The first of two equal keys counts to some readers, the last to Go's.
            if !seen.insert(key.clone()) {
                let message = format!("the key {key:?} is given twice");
                self.duplicates.borrow_mut().push(fault(key_at, "key-duplicate", message));
            }
            let value = self.node(value, &Path::Key(path, &key))?;
            members.push(Member { key, key_at, value });
        }
        Ok(members)
    }

    /// Where a part of the text begins: `serde_json` lends it from the text itself.
    fn at(&self, part: &str) -> usize {
        part.as_ptr() as usize - self.text.as_ptr() as usize
    }
}

/// A JSON string's text, borrowed where nothing in it is escaped.
fn text(raw: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    let plain = &raw[1..raw.len() - 1];
    if plain.contains('\\') {
        serde_json::from_str::<String>(raw).map(Cow::Owned)
    } else {
        Ok(Cow::Borrowed(plain))
    }
}

struct RawItems<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for RawItems<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(List).map(RawItems)
    }
}

struct RawMembers<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(key) = map.next_key()? {
                    all.push((key, map.next_value()?));
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(Object).map(RawMembers)
    }
}

/// What is wrong, without the position that `serde_json` appends: it is told apart.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

/// The offset of a line and column, both counted from 1, columns in bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}

/// Line and column of an offset, both counted from 1, columns in characters.
pub(crate) fn position(text: &[u8], at: usize) -> (u32, u32) {
    let before = &text[..at.min(text.len())];
    let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// The text as Go's decoder compares keys: case folded, the Kelvin sign and the long s included.
pub(crate) fn folded(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{212A}' => 'k',
            '\u{017F}' => 's',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &[u8]) -> (&'static str, String, (u32, u32)) {
        let fault = Node::parse(text).map(|_| ()).unwrap_err();
        (fault.code, fault.path, position(text, fault.at))
    }

    #[test]
    fn parse_knows_where_everything_is() {
        let text = " {\"a\": [1, {\"b\\u0063\": \"x\"}],\n \"d\": null}";
        let root = Node::parse(text.as_bytes()).unwrap();
        let a = root.member("a").unwrap();
        assert_eq!((a.key_at, a.value.at, a.value.raw), (2, 7, "[1, {\"b\\u0063\": \"x\"}]"));
        let Kind::List(items) = &a.value.kind else { panic!("{a:?}") };
        assert_eq!(items[1].member("bc").unwrap().value.raw, "\"x\"");
        let d = root.member("d").unwrap();
        assert_eq!(position(text.as_bytes(), d.key_at), (2, 2));
        assert_eq!(d.value.what(), "null");
    }

    #[test]
    fn parse_keeps_numbers_as_they_are_written() {
        let root = Node::parse(b"[1e999, 1.50, 123456789012345678901234567890]").unwrap();
        let Kind::List(items) = root.kind else { panic!() };
        let raw: Vec<&str> = items.iter().map(|item| item.raw).collect();
        assert_eq!(raw, ["1e999", "1.50", "123456789012345678901234567890"]);
    }

    #[test]
    fn parse_refuses_with_the_place() {
        assert_eq!(fault(b"{\n \"a\": 1,\n \"a\": 2}"), ("key-duplicate", "".into(), (3, 2)));
        assert_eq!(
            fault(br#"{"a": [{"b": 1, "\u0062": 2}]}"#),
            ("key-duplicate", "a[0]".into(), (1, 17))
        );
        assert_eq!(fault(b"\xef\xbb\xbf{}").0, "json-encoding");
        assert_eq!(fault(b"\xff\xfe{\0}\0").0, "json-encoding");
        assert_eq!(fault(b"{\"a\": \"\xff\"}").0, "json-encoding");
        assert_eq!(fault(b"{}{}"), ("json-syntax", "".into(), (1, 3)));
        for bad in ["", "{", "{\"a\":NaN}", "[1,]", "{} x", "// c\n{}", "'a'", "[01]", "\"\t\""] {
            assert_eq!(fault(bad.as_bytes()).0, "json-syntax", "{bad:?}");
        }
        let lone = fault(br#"{"a": ["\ud800"]}"#);
        assert_eq!((lone.0, lone.1.as_str()), ("json-syntax", "a[0]"));
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        assert_eq!(fault(deep.as_bytes()).0, "json-depth");
        let quoted = format!("{{\"a\": \"\\\"{}\"}}", "[".repeat(300));
        assert!(Node::parse(quoted.as_bytes()).is_ok());
        let objects = "{\"a\":".repeat(300) + "1" + &"}".repeat(300);
        assert_eq!(fault(objects.as_bytes()).0, "json-depth");
    }
}
