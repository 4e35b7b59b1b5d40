//! What differs between two manifests, by JSON path.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::DiffError;
use crate::json::{Kind, Node};

/// One place in which two manifests differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ManifestChange {
    /// The place, as `app.ports[0].port`: of the second manifest, or of the first where the
    /// second has nothing there.
    pub path: String,
    /// What was there, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// What is there now, if anything. Where the order of a list is all that has changed, this
    /// and `old` are what its items are called, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// Compares two manifests by their meaning: white space and the order of keys say nothing.
/// Items of a list that have names are compared by name, wherever in the list they stand.
pub fn manifests(old: &[u8], new: &[u8]) -> Result<Vec<ManifestChange>, DiffError> {
    let parse = |bytes| {
        let node = Node::parse(bytes).map_err(|fault| DiffError::Manifest(fault.message))?;
        Ok::<_, DiffError>(value(&node))
    };
    let mut changes = Vec::new();
    compare("", &parse(old)?, &parse(new)?, &mut changes);
    Ok(changes)
}

/// The value, a number that no reader could hold as a text.
fn value(node: &Node<'_>) -> Value {
    match &node.kind {
        Kind::List(items) => items.iter().map(value).collect(),
        Kind::Object(members) => {
            members.iter().map(|one| (one.key.to_string(), value(&one.value))).collect()
        }
        _ => serde_json::from_str(node.raw).unwrap_or_else(|_| node.raw.into()),
    }
}

fn compare(path: &str, old: &Value, new: &Value, changes: &mut Vec<ManifestChange>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(olds), Value::Object(news)) => objects(path, olds, news, changes),
        (Value::Array(olds), Value::Array(news)) => lists(path, olds, news, changes),
        _ => changes.push(change(path.to_owned(), Some(old), Some(new))),
    }
}

fn change(path: String, old: Option<&Value>, new: Option<&Value>) -> ManifestChange {
    ManifestChange { path, old: old.cloned(), new: new.cloned() }
}

fn objects(
    path: &str,
    olds: &Map<String, Value>,
    news: &Map<String, Value>,
    changes: &mut Vec<ManifestChange>,
) {
    for (key, old) in olds {
        let path = member(path, key);
        match news.get(key) {
            Some(new) => compare(&path, old, new, changes),
            None => changes.push(change(path, Some(old), None)),
        }
    }
    for (key, new) in news.iter().filter(|(key, _)| !olds.contains_key(*key)) {
        changes.push(change(member(path, key), None, Some(new)));
    }
}

fn lists(path: &str, olds: &[Value], news: &[Value], changes: &mut Vec<ManifestChange>) {
    let (Some(old_names), Some(new_names)) = (names(path, olds), names(path, news)) else {
        let (both, most) = (olds.len().min(news.len()), olds.len().max(news.len()));
        for at in 0..both {
            compare(&format!("{path}[{at}]"), &olds[at], &news[at], changes);
        }
        changes.extend(
            (both..most).map(|at| change(format!("{path}[{at}]"), olds.get(at), news.get(at))),
        );
        return;
    };
    for (at, (name, old)) in old_names.iter().zip(olds).enumerate() {
        match new_names.iter().position(|other| other == name) {
            Some(now) => compare(&format!("{path}[{now}]"), old, &news[now], changes),
            None => changes.push(change(format!("{path}[{at}]"), Some(old), None)),
        }
    }
    for (at, (name, new)) in new_names.iter().zip(news).enumerate() {
        if !old_names.contains(name) {
            changes.push(change(format!("{path}[{at}]"), None, Some(new)));
        }
    }
    let in_both = |names: &[String], others: &[String]| -> Vec<String> {
        names.iter().filter(|name| others.contains(name)).cloned().collect()
    };
    let (before, now) = (in_both(&old_names, &new_names), in_both(&new_names, &old_names));
    if before != now {
        let (old, new) = (Some(Value::from(before)), Some(Value::from(now)));
        changes.push(ManifestChange { path: path.to_owned(), old, new });
    }
}

/// What the items of a list are called, where each has a name of its own: that of an object,
/// or a text or number itself. The words of a command line have none: they count by their place.
fn names(path: &str, items: &[Value]) -> Option<Vec<String>> {
    if path == "exec" || path.ends_with(".exec") {
        return None;
    }
    let name = |item: &Value| match item {
        Value::Object(members) => {
            let name = members.get("name").or_else(|| members.get("imageName"))?;
            name.as_str().map(str::to_owned)
        }
        Value::String(_) | Value::Number(_) => Some(item.to_string()),
        _ => None,
    };
    let names: Vec<String> = items.iter().map(name).collect::<Option<_>>()?;
    let unique = names.iter().collect::<BTreeSet<_>>().len() == names.len();
    unique.then_some(names)
}

fn member(path: &str, key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if key.is_empty() || !key.bytes().all(plain) {
        return format!("{path}[{}]", Value::from(key));
    }
    let dot = if path.is_empty() { "" } else { "." };
    format!("{path}{dot}{key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The changes, one line each.
    fn changes(old: &str, new: &str) -> Vec<String> {
        let text = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
        manifests(old.as_bytes(), new.as_bytes())
            .unwrap()
            .into_iter()
            .map(|change| format!("{}: {} {}", change.path, text(change.old), text(change.new)))
            .collect()
    }

    #[test]
    fn manifests_differ_by_path() {
        let old = r#"{"name":"a","app":{"user":"0","exec":["/a","b"]},"x y":{"":1}}"#;
        let new = r#"{"app":{"exec":["/a","c","d"],"group":"0"},"name":"b","x y":{"":2}}"#;
        assert_eq!(
            changes(old, new),
            [
                r#"name: "a" "b""#,
                r#"app.user: "0" -"#,
                r#"app.exec[1]: "b" "c""#,
                r#"app.exec[2]: - "d""#,
                r#"app.group: - "0""#,
                r#"["x y"][""]: 1 2"#,
            ]
        );
    }

    #[test]
    fn manifests_compare_items_by_name() {
        let old = r#"{"labels":[{"name":"version","value":"1"},{"name":"os","value":"linux"}]}"#;
        let new = r#"{"labels":[{"name":"os","value":"linux"},{"name":"channel","value":"x"}]}"#;
        assert_eq!(
            changes(old, new),
            [
                r#"labels[0]: {"name":"version","value":"1"} -"#,
                r#"labels[1]: - {"name":"channel","value":"x"}"#,
            ]
        );
        assert_eq!(
            changes(r#"{"pathWhitelist":["/a","/b","/c"]}"#, r#"{"pathWhitelist":["/b","/c"]}"#),
            [r#"pathWhitelist[0]: "/a" -"#]
        );
    }

    #[test]
    fn manifests_of_another_order_differ_where_order_counts() {
        let old = r#"{"dependencies":[{"imageName":"a/b"},{"imageName":"c/d"}],"z":1}"#;
        let new = r#"{"z": 1, "dependencies":[{"imageName":"c/d"},{"imageName":"a/b"}]}"#;
        assert_eq!(changes(old, new), [r#"dependencies: ["a/b","c/d"] ["c/d","a/b"]"#]);
        assert!(
            changes(r#"{"a":1,"b":[{"c":null}]}"#, "{\n\"b\":[{\"c\":null}],\"a\":1}").is_empty()
        );
    }

    #[test]
    fn manifests_with_one_name_twice_are_compared_by_place() {
        let old = r#"{"l":[{"name":"a","v":1},{"name":"a","v":2}]}"#;
        let new = r#"{"l":[{"name":"a","v":1},{"name":"a","v":3}]}"#;
        assert_eq!(changes(old, new), ["l[1].v: 2 3"]);
        assert_eq!(changes(r#"{"n":1e999}"#, r#"{"n":1e998}"#), [r#"n: "1e999" "1e998""#]);
    }
}
