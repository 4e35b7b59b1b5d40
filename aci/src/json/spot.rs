//! Reading typed values out of a JSON tree, with a finding for every fault.
//!
//! A reading function takes a [`Spot`] and gives `None` when it has reported what is wrong
//! there. So one pass over a manifest finds everything, and a value exists only if nothing was.

use std::cell::RefCell;
use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::path::Step;
use super::{Fault, JsonPath, Kind, Node, Path, folded, position};
use crate::finding::{Checked, Finding, MAX_FINDINGS, Severity};

/// A rule that stands outside the spec's own schema.
const JSON_RULE: &str = "RFC 8259; spec: aci.md, Image Manifest";
const KEY_RULE: &str = "spec: aci.md and pods.md, the names of the fields";

/// A text under examination, and what was found in it.
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    found: RefCell<Found>,
}

#[derive(Default)]
struct Found {
    findings: Vec<(usize, Finding)>,
    errors: usize,
    warnings: usize,
}

impl<'a> Reader<'a> {
    /// Reads `text` with `read`, and gives its value unless something was wrong.
    pub(crate) fn check<T>(
        text: &'a [u8],
        read: impl FnOnce(&Spot<'_, 'a>) -> Option<T>,
    ) -> Checked<T> {
        let reader = Self { text, found: RefCell::default() };
        let tell = |Fault { at, path, code, message }| {
            reader.report(at, Severity::Error, code, path, message, JSON_RULE);
        };
        let value = match Node::parse_all(text) {
            Ok((node, duplicates)) => {
                duplicates.into_iter().for_each(tell);
                read(&Spot { reader: &reader, node: &node, path: Path::Root })
            }
            Err(fault) => {
                tell(fault);
                None
            }
        };
        let Found { mut findings, errors, warnings } = reader.found.into_inner();
        findings.sort_by_key(|(at, _)| *at);
        let left_out = errors + warnings - findings.len();
        let findings = findings.into_iter().map(|(_, finding)| finding).collect();
        Checked { value: value.filter(|_| errors == 0), findings, left_out }
    }

    fn report(
        &self,
        at: usize,
        severity: Severity,
        code: &'static str,
        path: String,
        message: String,
        rule: &'static str,
    ) {
        let mut found = self.found.borrow_mut();
        let count = match severity {
            Severity::Error => &mut found.errors,
            Severity::Warning => &mut found.warnings,
        };
        *count += 1;
        if *count <= MAX_FINDINGS {
            let (line, column) = position(self.text, at);
            let finding = Finding { severity, code, path, line, column, message, rule };
            found.findings.push((at, finding));
        }
    }
}

/// A value in its place.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'r, 'a> {
    reader: &'r Reader<'a>,
    pub(crate) node: &'r Node<'a>,
    path: Path<'r>,
}

impl<'r, 'a> Spot<'r, 'a> {
    /// Reports an error here.
    pub(crate) fn error<T>(
        &self,
        code: &'static str,
        message: impl Display,
        rule: &'static str,
    ) -> Option<T> {
        self.report(Severity::Error, code, message, rule);
        None
    }

    /// Reports a warning here.
    pub(crate) fn warn(&self, code: &'static str, message: impl Display, rule: &'static str) {
        self.report(Severity::Warning, code, message, rule);
    }

    fn report(
        &self,
        severity: Severity,
        code: &'static str,
        message: impl Display,
        rule: &'static str,
    ) {
        let (path, message) = (self.path.to_string(), message.to_string());
        self.reader.report(self.node.at, severity, code, path, message, rule);
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        self.error("type", format!("{wanted} was wanted, not {}", self.node.what()), JSON_RULE)
    }

    /// A string.
    pub(crate) fn text(&self) -> Option<&'r str> {
        match &self.node.kind {
            Kind::Text(text) => Some(text),
            _ => self.wrong_type("a string"),
        }
    }

    /// A string that is handed to the kernel, which ends it at a NUL.
    pub(crate) fn argument(&self) -> Option<String> {
        let text = self.text()?;
        if text.contains('\0') {
            return self.error(
                "nul",
                "it holds a NUL character, where the system ends it",
                "exec(3)",
            );
        }
        Some(text.to_owned())
    }

    /// A string of a form of its own.
    pub(crate) fn parsed<T>(&self, code: &'static str, rule: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text()?;
        text.parse().or_else(|error| self.error(code, error, rule).ok_or(())).ok()
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.node.kind {
            Kind::Bool(value) => Some(value),
            _ => self.wrong_type("true or false"),
        }
    }

    /// An integer from `least` to `most`.
    pub(crate) fn integer(&self, least: u64, most: u64, rule: &'static str) -> Option<u64> {
        if !matches!(self.node.kind, Kind::Number) {
            return self.wrong_type("an integer");
        }
        match self.node.raw.parse::<u64>() {
            Ok(value) if (least..=most).contains(&value) => Some(value),
            _ => {
                let message = format!("{} is no integer between {least} and {most}", self.node.raw);
                self.error("range", message, rule)
            }
        }
    }

    /// The JSON value itself. Numbers that do not fit are refused, not rounded.
    pub(crate) fn value(&self) -> Option<serde_json::Value> {
        match serde_json::from_str(self.node.raw) {
            Ok(value) => Some(value),
            Err(_) => self.error("range", "a number in it is out of range", JSON_RULE),
        }
    }

    /// A list of what `read` reads. `null` is an empty list, as Go writes one.
    pub(crate) fn list<T>(&self, read: impl Fn(&Spot<'_, 'a>) -> Option<T>) -> Option<Vec<T>> {
        self.items_of(read)?.all()
    }

    /// As [`list`](Self::list), for those who look at the list as a whole: what is wrong with
    /// one item hides nothing that is wrong with the others.
    pub(crate) fn items_of<T>(
        &self,
        read: impl Fn(&Spot<'_, 'a>) -> Option<T>,
    ) -> Option<Items<T>> {
        let nodes = match &self.node.kind {
            Kind::Null => &[],
            Kind::List(nodes) => nodes.as_slice(),
            _ => return self.wrong_type("a list"),
        };
        let mut items = Items { read: Vec::new(), places: Vec::new(), whole: true };
        for (index, node) in nodes.iter().enumerate() {
            let path = Path::Index(&self.path, index);
            match read(&Spot { reader: self.reader, node, path }) {
                Some(item) => {
                    items.read.push(item);
                    items.places.push(index);
                }
                None => items.whole = false,
            }
        }
        Some(items)
    }

    /// An object whose fields the spec names.
    pub(crate) fn fields(&self, known: &'static [&'static str]) -> Option<Fields<'_, 'a>> {
        let Some(members) = self.node.members() else { return self.wrong_type("an object") };
        for member in members.iter().filter(|member| !known.contains(&&*member.key)) {
            // `{"name": "mine", "NAME": "yours"}` is `yours` to the Go tools.
            let Some(expected) = known.iter().find(|key| folded(key) == folded(&member.key)) else {
                continue;
            };
            let message = format!(
                "the key {:?} must be written {expected:?}: other tools would read it as that",
                member.key
            );
            self.reader.report(
                member.key_at,
                Severity::Error,
                "key-case",
                Path::Key(&self.path, &member.key).to_string(),
                message,
                KEY_RULE,
            );
        }
        Some(Fields { spot: *self, known })
    }

    /// An object of any keys, all of whose values are strings.
    pub(crate) fn strings(&self) -> Option<std::collections::BTreeMap<String, String>> {
        if matches!(self.node.kind, Kind::Null) {
            return Some(Default::default());
        }
        let Some(members) = self.node.members() else { return self.wrong_type("an object") };
        let read_one = |member: &'r super::Member<'a>| {
            let path = Path::Key(&self.path, &member.key);
            let value = Spot { reader: self.reader, node: &member.value, path }.text()?;
            Some((member.key.clone().into_owned(), value.to_owned()))
        };
        let read: Vec<Option<_>> = members.iter().map(read_one).collect();
        read.into_iter().collect()
    }

    /// Reports every item of this list whose `key` came before.
    pub(crate) fn unique<'t, T: 't, K: Ord + Display>(
        &self,
        items: &'t Items<T>,
        what: &str,
        key: impl Fn(&'t T) -> K,
        rule: &'static str,
    ) {
        self.twice(Severity::Error, items, what, key, rule);
    }

    /// Tells of every item of this list whose `key` came before.
    pub(crate) fn warn_twice<'t, T: 't, K: Ord + Display>(
        &self,
        items: &'t Items<T>,
        what: &str,
        key: impl Fn(&'t T) -> K,
        rule: &'static str,
    ) {
        self.twice(Severity::Warning, items, what, key, rule);
    }

    fn twice<'t, T: 't, K: Ord + Display>(
        &self,
        severity: Severity,
        items: &'t Items<T>,
        what: &str,
        key: impl Fn(&'t T) -> K,
        rule: &'static str,
    ) {
        let mut seen = std::collections::BTreeSet::new();
        for (item, &place) in items.read.iter().zip(&items.places) {
            let key = key(item);
            if seen.contains(&key) {
                let message = format!("the {what} {:?} is given twice", key.to_string());
                self.item(place, |spot| spot.report(severity, "duplicate", message, rule));
            } else {
                seen.insert(key);
            }
        }
    }

    /// The items of this list; none where it is no list.
    pub(crate) fn items(&self) -> impl Iterator<Item = Spot<'_, 'a>> {
        let items = match &self.node.kind {
            Kind::List(items) => items.as_slice(),
            _ => &[],
        };
        items.iter().enumerate().map(|(index, node)| Spot {
            reader: self.reader,
            node,
            path: Path::Index(&self.path, index),
        })
    }

    /// Looks at what stands below this value, where there is something at that path.
    pub(crate) fn below<T>(
        &self,
        path: &JsonPath,
        look: impl FnOnce(&Spot<'_, 'a>) -> T,
    ) -> Option<T> {
        self.follow(&path.0, look)
    }

    fn follow<T>(&self, steps: &[Step], look: impl FnOnce(&Spot<'_, 'a>) -> T) -> Option<T> {
        let [step, rest @ ..] = steps else { return Some(look(self)) };
        let (node, path) = match (step, &self.node.kind) {
            (Step::Key(key), _) => {
                let member = self.node.member(key)?;
                (&member.value, Path::Key(&self.path, &member.key))
            }
            (Step::Index(index), Kind::List(items)) => {
                (items.get(*index)?, Path::Index(&self.path, *index))
            }
            _ => return None,
        };
        Spot { reader: self.reader, node, path }.follow(rest, look)
    }

    /// Looks at one item of this list.
    pub(crate) fn item<T>(&self, index: usize, look: impl FnOnce(&Spot<'_, 'a>) -> T) -> Option<T> {
        let Kind::List(items) = &self.node.kind else { return None };
        let path = Path::Index(&self.path, index);
        items.get(index).map(|node| look(&Spot { reader: self.reader, node, path }))
    }
}

/// The items of a list that could be read.
pub(crate) struct Items<T> {
    pub(crate) read: Vec<T>,
    /// Where in the list each of them stands.
    pub(crate) places: Vec<usize>,
    whole: bool,
}

impl<T> Items<T> {
    /// The items, unless one could not be read.
    pub(crate) fn all(self) -> Option<Vec<T>> {
        self.whole.then_some(self.read)
    }
}

/// The fields of an object.
pub(crate) struct Fields<'r, 'a> {
    spot: Spot<'r, 'a>,
    known: &'static [&'static str],
}

impl<'r, 'a> Fields<'r, 'a> {
    /// Looks at the value of `key` where there is one. `null` is as good as nothing, as to Go.
    pub(crate) fn at<T>(&self, key: &str, look: impl FnOnce(&Spot<'_, 'a>) -> T) -> Option<T> {
        debug_assert!(self.known.contains(&key), "{key}");
        let member = self.spot.node.member(key)?;
        if matches!(member.value.kind, Kind::Null) {
            return None;
        }
        let path = Path::Key(&self.spot.path, &member.key);
        Some(look(&Spot { reader: self.spot.reader, node: &member.value, path }))
    }

    /// Looks at `key` itself where it is there, whatever its value.
    pub(crate) fn key(&self, key: &str, look: impl FnOnce(&Spot<'_, 'a>)) {
        if let Some(member) = self.spot.node.member(key) {
            let path = Path::Key(&self.spot.path, &member.key);
            look(&Spot { reader: self.spot.reader, node: &member.value, path });
        }
    }

    /// Warns of a field that the spec wants and other tools do without.
    pub(crate) fn warn_absent(&self, key: &str, rule: &'static str) {
        if self.at(key, |_| ()).is_none() && !self.is_misspelt(key) {
            self.spot.warn("absent", format!("{key} is absent, and counts as empty"), rule);
        }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        rule: &'static str,
        read: impl FnOnce(&Spot<'_, 'a>) -> Option<T>,
    ) -> Option<T> {
        match self.at(key, read) {
            Some(read) => read,
            None if self.is_misspelt(key) => None,
            None => self.spot.error("required", format!("{key} is required"), rule),
        }
    }

    /// Whether the key is there in another case, which has been told.
    fn is_misspelt(&self, key: &str) -> bool {
        let members = self.spot.node.members().unwrap_or_default();
        members.iter().any(|member| member.key != key && folded(&member.key) == folded(key))
    }

    /// A field that may be absent: `Some(None)` then.
    pub(crate) fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Spot<'_, 'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.at(key, read) {
            Some(read) => read.map(Some),
            None => Some(None),
        }
    }

    /// A list that may be absent: it is empty then.
    pub(crate) fn list<T>(
        &self,
        key: &str,
        read: impl Fn(&Spot<'_, 'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.optional(key, |spot| spot.list(read)).map(Option::unwrap_or_default)
    }

    /// The fields nobody knows, as they are written.
    pub(crate) fn extra(&self) -> Extra {
        let unknown = |member: &&super::Member<'_>| !self.known.contains(&&*member.key);
        let members = self.spot.node.members().unwrap_or_default();
        let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
        Extra(
            members
                .iter()
                .filter(unknown)
                .filter_map(|member| Some((member.key.to_string(), raw(member.value.raw)?)))
                .collect(),
        )
    }
}

/// Fields the spec does not name, each with its value as it was written.
#[derive(Debug, Clone, Default)]
pub struct Extra(Vec<(String, Box<RawValue>)>);

impl Extra {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the author's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.get()))
    }
}

impl PartialEq for Extra {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
