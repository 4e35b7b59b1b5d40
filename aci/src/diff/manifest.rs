//! What differs between two manifests, by JSON path.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use super::DiffError;
use crate::json::{Kind, Member, Node};

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
/// Numbers are equal where they are exactly the same number.
pub fn manifests(old: &[u8], new: &[u8]) -> Result<Vec<ManifestChange>, DiffError> {
    let parse = |bytes| Node::parse(bytes).map_err(|fault| DiffError::Manifest(fault.message));
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
        Kind::Number => {
            let held = serde_json::from_str::<Value>(node.raw).ok();
            let exact = |held: &Value| decimal(&held.to_string()) == decimal(node.raw);
            held.filter(exact).unwrap_or_else(|| node.raw.into())
        }
        _ => serde_json::from_str(node.raw).unwrap_or_else(|_| node.raw.into()),
    }
}

fn compare(path: &str, old: &Node<'_>, new: &Node<'_>, changes: &mut Vec<ManifestChange>) {
    match (&old.kind, &new.kind) {
        _ if old.raw == new.raw => {}
        (Kind::Object(olds), Kind::Object(news)) => objects(path, olds, news, changes),
        (Kind::List(olds), Kind::List(news)) => lists(path, olds, news, changes),
        (Kind::Text(old), Kind::Text(new)) if old == new => {}
        (Kind::Number, Kind::Number) if decimal(old.raw) == decimal(new.raw) => {}
        _ => changes.push(change(path.to_owned(), Some(old), Some(new))),
    }
}

/// A JSON number as sign, digits and a power of ten, the same for all its spellings. An exponent
/// past all bounds is left as it is written.
fn decimal(raw: &str) -> (bool, String, Result<i64, &str>) {
    let (mantissa, exponent) = raw.split_once(['e', 'E']).unwrap_or((raw, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return (false, String::new(), Ok(0));
    }
    let moved = (digits.len() - significant.len()) as i64 - fraction.len() as i64;
    let power = exponent.parse::<i64>().ok().and_then(|power| power.checked_add(moved));
    let significant = significant.trim_start_matches('0').to_owned();
    (raw.starts_with('-'), significant, power.ok_or(raw))
}

fn change(path: String, old: Option<&Node<'_>>, new: Option<&Node<'_>>) -> ManifestChange {
    ManifestChange { path, old: old.map(value), new: new.map(value) }
}

fn objects(
    path: &str,
    olds: &[Member<'_>],
    news: &[Member<'_>],
    changes: &mut Vec<ManifestChange>,
) {
    let in_new: HashMap<&str, &Node<'_>> =
        news.iter().map(|member| (&*member.key, &member.value)).collect();
    for Member { key, value: old, .. } in olds {
        let path = member(path, key);
        match in_new.get(&**key) {
            Some(new) => compare(&path, old, new, changes),
            None => changes.push(change(path, Some(old), None)),
        }
    }
    let in_old: HashSet<&str> = olds.iter().map(|member| &*member.key).collect();
    for Member { key, value: new, .. } in news.iter().filter(|one| !in_old.contains(&*one.key)) {
        changes.push(change(member(path, key), None, Some(new)));
    }
}

fn lists(path: &str, olds: &[Node<'_>], news: &[Node<'_>], changes: &mut Vec<ManifestChange>) {
    let (Some(in_old), Some(in_new)) = (Named::of(path, olds), Named::of(path, news)) else {
        let (both, most) = (olds.len().min(news.len()), olds.len().max(news.len()));
        for at in 0..both {
            compare(&format!("{path}[{at}]"), &olds[at], &news[at], changes);
        }
        changes.extend(
            (both..most).map(|at| change(format!("{path}[{at}]"), olds.get(at), news.get(at))),
        );
        return;
    };
    for (at, (name, old)) in in_old.names.iter().zip(olds).enumerate() {
        match in_new.places.get(name) {
            Some(&now) => compare(&format!("{path}[{now}]"), old, &news[now], changes),
            None => changes.push(change(format!("{path}[{at}]"), Some(old), None)),
        }
    }
    for (at, (name, new)) in in_new.names.iter().zip(news).enumerate() {
        if !in_old.places.contains_key(name) {
            changes.push(change(format!("{path}[{at}]"), None, Some(new)));
        }
    }
    let (before, now) = (in_old.also_in(&in_new), in_new.also_in(&in_old));
    if before != now {
        let called = |names: &[&String], of: &Named, items: &[Node<'_>]| -> Value {
            names.iter().map(|name| called(&items[of.places[*name]], name)).collect()
        };
        let old = Some(called(&before, &in_old, olds));
        let new = Some(called(&now, &in_new, news));
        changes.push(ManifestChange { path: path.to_owned(), old, new });
    }
}

/// What an item is called in a list of which only the order has changed.
fn called(item: &Node<'_>, name: &str) -> Value {
    match item.kind {
        Kind::Object(_) => name.into(),
        _ => value(item),
    }
}

/// The items of a list by what they are called.
struct Named {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Named {
    /// `None` where not each item has a name of its own: that of an object, or a text or number
    /// itself. The words of a command line have none: they count by their place.
    fn of(path: &str, items: &[Node<'_>]) -> Option<Self> {
        if path == "exec" || path.ends_with(".exec") {
            return None;
        }
        let name = |item: &Node<'_>| match &item.kind {
            Kind::Object(_) => {
                let name = item.member("name").or_else(|| item.member("imageName"))?;
                match &name.value.kind {
                    Kind::Text(name) => Some(name.to_string()),
                    _ => None,
                }
            }
            Kind::Text(text) => Some(Value::from(&**text).to_string()),
            Kind::Number => Some(format!("{:?}", decimal(item.raw))),
            _ => None,
        };
        let names: Vec<String> = items.iter().map(name).collect::<Option<_>>()?;
        let places: HashMap<String, usize> =
            names.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        (places.len() == names.len()).then_some(Self { names, places })
    }

    fn also_in(&self, other: &Self) -> Vec<&String> {
        self.names.iter().filter(|name| other.places.contains_key(*name)).collect()
    }
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
    #[test]
    fn manifests_compare_numbers_exactly() {
        for (one, other) in [
            ("123456789012345678901", "123456789012345678902"),
            ("0.1", "0.10000000000000000001"),
            ("1e999", "1e998"),
            ("1e99999999999999999999", "2e99999999999999999999"),
            ("1", "-1"),
            ("1", "\"1\""),
            ("1e999", "\"1e999\""),
        ] {
            let (old, new) = (format!(r#"{{"x":{one}}}"#), format!(r#"{{"x":{other}}}"#));
            assert_eq!(changes(&old, &new).len(), 1, "{one} {other}");
        }
        for (one, other) in [("1", "1.0"), ("1", "10e-1"), ("0", "-0.0e5"), ("1200", "1.2E+3")] {
            let (old, new) = (format!(r#"{{"x":{one}}}"#), format!(r#"{{"x":{other}}}"#));
            assert_eq!(changes(&old, &new), [""; 0], "{one} {other}");
        }
    }

    #[test]
    fn manifests_show_the_items_of_a_list_in_another_order() {
        assert_eq!(changes(r#"["a","b"]"#, r#"["b","a"]"#), [r#": ["a","b"] ["b","a"]"#]);
        assert_eq!(changes("[1,2,1e999]", "[2,1e999,1]"), [r#": [1,2,"1e999"] [2,"1e999",1]"#]);
    }

    #[test]
    fn manifests_of_long_lists_are_compared_in_little_time() {
        let list = |letter: char| {
            let items: Vec<String> = (0..30_000).map(|n| format!("\"{letter}{n}\"")).collect();
            format!("[{}]", items.join(","))
        };
        let started = std::time::Instant::now();
        assert_eq!(changes(&list('a'), &list('b')).len(), 60_000);
        assert!(started.elapsed().as_secs() < 20);
    }
}
