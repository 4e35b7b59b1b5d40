//! Lists of labels, a label a line: what is accepted keeps its order, prints as itself, is read
//! by serde as the same, and two lists have one canonical text only where they say the same.
#![no_main]

use std::collections::BTreeMap;

use aci::{Label, Labels};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // Two lists, with an empty line between.
    let (one, other) = text.split_once("\n\n").unwrap_or((text, ""));
    let (Some(one), Some(other)) = (read(one), read(other)) else { return };

    let said = |labels: &Labels| -> BTreeMap<String, String> {
        labels.iter().map(|label| (label.name.to_string(), label.value.clone())).collect()
    };
    let same = said(&one) == said(&other);
    assert_eq!(one.canonical() == other.canonical(), same);
    let matches = one.first_mismatch(&other).is_none() && other.first_mismatch(&one).is_none();
    assert_eq!(matches, same);
    assert!(one.first_mismatch(&one).is_none());
    for label in one.iter() {
        let fewer = one.without(label.name.as_str());
        assert_eq!(fewer.value(label.name.as_str()), None);
        assert!(fewer.first_mismatch(&one).is_none());
        assert!(one.first_mismatch(&fewer).is_some());
    }
});

fn read(text: &str) -> Option<Labels> {
    let mut list = Vec::new();
    for line in text.lines() {
        let label: Label = line.parse().ok()?;
        assert_eq!(label.to_string(), line);
        list.push(label);
    }
    let mut names: Vec<&str> = list.iter().map(|label| label.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let distinct = names.len() == list.len() && !names.contains(&"name");

    let json = serde_json::to_string(&list).expect("labels are JSON");
    let by_serde = serde_json::from_str::<Labels>(&json);
    let labels = Labels::try_from(list.clone());
    assert_eq!(labels.is_ok(), by_serde.is_ok());
    let Ok(labels) = labels else { return None };
    assert!(distinct);
    assert_eq!(Some(&labels), by_serde.ok().as_ref());
    assert_eq!(Vec::from(labels.clone()), list);

    // The order of the list says nothing.
    let mut turned = list;
    turned.reverse();
    let turned = Labels::try_from(turned).expect("the same labels are as good");
    assert_eq!(turned.canonical(), labels.canonical());
    Some(labels)
}
