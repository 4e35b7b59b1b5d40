//! The spec's own procedure, word for word and without regard to cost, to compare the plan with:
//! extract one image after another, each over what is there.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{Made, image};
use super::{PlanEntry, Source, Whitelist, inside, plan};
use crate::archive::EntryKind;
use crate::limits::Limits;

/// An extraction of one entry.
#[derive(Clone)]
struct Event {
    path: Vec<u8>,
    directory: bool,
    from: (usize, usize),
}

/// What is at a path: nothing but a folder somebody needed, or an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum There {
    Made,
    Directory((usize, usize)),
    Other((usize, usize)),
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path != folder
        && (folder.is_empty()
            || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/")))
}

/// All that rendering an image extracts, in order. `above` are the whitelists it is under.
fn extractions(images: &[Made], number: usize, above: &[Whitelist]) -> Vec<Event> {
    let made = &images[number];
    let own = Whitelist::new(&made.manifest.path_whitelist);
    let mut below = above.to_vec();
    below.extend(own.clone());
    let mut events = Vec::new();
    for dependency in &made.manifest.dependencies {
        let at = images.iter().position(|image| image.manifest.name == dependency.image_name);
        events.extend(extractions(images, at.unwrap(), &below));
    }
    let named = |path: &[u8]| own.as_ref().is_none_or(|own| own.names(path));
    let mut entries: Vec<(Vec<u8>, usize, bool)> = Vec::new();
    for (at, entry) in made.entries.iter().enumerate() {
        let path = inside(&entry.path).unwrap();
        let directory = entry.kind == EntryKind::Directory;
        if above.iter().all(|above| above.names(path)) && (directory || named(path)) {
            entries.push((path.to_vec(), at, directory));
        }
    }
    let sound = |path: &[u8]| !entries.iter().any(|(f, _, d)| !d && is_below(path, f));
    let mut own_events: Vec<Event> = entries
        .iter()
        .filter(|(path, ..)| sound(path))
        .map(|(path, at, directory)| Event {
            path: path.clone(),
            directory: *directory,
            from: (number, *at),
        })
        .collect();
    own_events.sort_by(|one, other| one.path.cmp(&other.path));
    let (firm, waiting): (Vec<Event>, Vec<Event>) =
        own_events.into_iter().partition(|event| !event.directory || named(&event.path));
    events.extend(firm);
    let needed = |event: &Event| events.iter().any(|other| is_below(&other.path, &event.path));
    let needed: Vec<Event> = waiting.into_iter().filter(needed).collect();
    // A folder's entry changes what the folder is like, not what is in it.
    events.extend(needed);
    events
}

fn extract(events: &[Event]) -> BTreeMap<Vec<u8>, There> {
    let mut tree = BTreeMap::from([(Vec::new(), There::Made)]);
    for Event { path, directory, from } in events {
        let slashes = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        for (end, _) in slashes {
            let folder = &path[..end];
            if !matches!(tree.get(folder), Some(There::Made | There::Directory(_))) {
                tree.insert(folder.to_vec(), There::Made);
            }
        }
        if *directory {
            tree.insert(path.clone(), There::Directory(*from));
        } else {
            tree.retain(|other, _| !is_below(other, path));
            tree.insert(path.clone(), There::Other(*from));
        }
    }
    tree
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4)
        .prop_map(|segments| segments.join("/"))
}

/// Images of which each may depend on those after it.
fn images() -> impl Strategy<Value = Vec<Made>> {
    let entry = (path(), prop::sample::select(vec!["d", "d", "f", "l"]));
    let whitelist = prop_oneof![Just(vec![]), prop::collection::vec(path(), 0..8)];
    let one = (
        prop::collection::btree_map(path(), entry.prop_map(|(_, kind)| kind), 0..8),
        whitelist,
        prop::collection::vec(0_usize..5, 0..3),
    );
    prop::collection::vec(one, 1..6).prop_map(|all| {
        let count = all.len();
        let name = |number: usize| format!("example.com/i{number}");
        let made = |(number, (entries, whitelist, depends)): (usize, One)| {
            let depends: Vec<String> = depends
                .into_iter()
                .map(|skip| number + 1 + skip)
                .filter(|&on| on < count)
                .map(name)
                .collect();
            let depends: Vec<&str> = depends.iter().map(String::as_str).collect();
            let whitelist: Vec<&str> = whitelist.iter().map(String::as_str).collect();
            let entries: Vec<(String, &str)> =
                entries.into_iter().map(|(path, kind)| (format!("rootfs/{path}"), kind)).collect();
            let entries: Vec<(&str, &str)> =
                entries.iter().map(|(path, kind)| (path.as_str(), *kind)).collect();
            image(&name(number), &depends, &whitelist, &entries)
        };
        all.into_iter().enumerate().map(made).collect()
    })
}

type One = (BTreeMap<String, &'static str>, Vec<String>, Vec<usize>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn plan_is_what_extracting_one_after_another_gives(images in images()) {
        let wanted = extract(&extractions(&images, 0, &[]));
        let all: Vec<_> = images.iter().map(Made::image).collect();
        let planned = plan(&all[0], &all[1..], &Limits::default()).unwrap();
        let found: BTreeMap<Vec<u8>, There> = planned
            .files
            .iter()
            .map(|file| {
                let path = file.path.strip_prefix(b"rootfs/").unwrap_or_default().to_vec();
                let there = match file.source {
                    Source::Made => There::Made,
                    Source::Entry { image_id, entry, .. } => {
                        let at = all.iter().position(|image| image.image_id == image_id).unwrap();
                        let PlanEntry { kind, .. } = &all[at].entries[entry];
                        match kind {
                            EntryKind::Directory => There::Directory((at, entry)),
                            _ => There::Other((at, entry)),
                        }
                    }
                    Source::Link { .. } => unreachable!("there are no hard links here"),
                };
                (path, there)
            })
            .collect();
        prop_assert_eq!(planned.files.len(), found.len());
        prop_assert_eq!(found, wanted);
    }
}
