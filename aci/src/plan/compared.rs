//! The plan against the spec's own procedure, on images made at random.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::{ModelImage, There, rendered};
use super::tests::{Made, image};
use super::{Source, inside, plan};
use crate::archive::EntryKind;
use crate::limits::Limits;

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4)
        .prop_map(|segments| segments.join("/"))
}

/// Entries, whitelist, and how far behind it the images are that it depends on.
type One = (BTreeMap<String, &'static str>, Vec<String>, Vec<usize>);

/// Images of which each may depend on those after it.
fn images() -> impl Strategy<Value = Vec<One>> {
    let kind = prop::sample::select(vec!["d", "d", "f", "l"]);
    let whitelist = prop_oneof![Just(vec![]), prop::collection::vec(path(), 0..8)];
    let entries = prop::collection::btree_map(path(), kind, 0..8);
    prop::collection::vec((entries, whitelist, prop::collection::vec(0_usize..5, 0..3)), 1..6)
}

fn name(number: usize) -> String {
    format!("example.com/i{number}")
}

fn made(number: usize, count: usize, (entries, whitelist, depends): &One) -> Made {
    let depends: Vec<String> =
        depends.iter().map(|skip| number + 1 + skip).filter(|&on| on < count).map(name).collect();
    let depends: Vec<&str> = depends.iter().map(String::as_str).collect();
    let whitelist: Vec<&str> = whitelist.iter().map(String::as_str).collect();
    let entries: Vec<(String, &str)> =
        entries.iter().map(|(path, kind)| (format!("rootfs/{path}"), *kind)).collect();
    let entries: Vec<(&str, &str)> = entries.iter().map(|(p, kind)| (p.as_str(), *kind)).collect();
    image(&name(number), &depends, &whitelist, &entries)
}

fn modelled(images: &[Made]) -> Vec<ModelImage> {
    let number = |name: &str| images.iter().position(|image| image.manifest.name.as_str() == name);
    let model = |image: &Made| {
        let entry = |(at, entry): (usize, &super::PlanEntry)| {
            let path = inside(&entry.path).unwrap().to_vec();
            (at, (String::from_utf8(path).unwrap(), entry.kind == EntryKind::Directory))
        };
        let depends = &image.manifest.dependencies;
        ModelImage {
            dependencies: depends.iter().map(|d| number(d.image_name.as_str()).unwrap()).collect(),
            whitelist: image.manifest.path_whitelist.clone(),
            entries: image.entries.iter().enumerate().map(entry).collect(),
        }
    };
    images.iter().map(model).collect()
}

proptest! {
    // `PROPTEST_CASES=400000` tries more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1000)))]
    #[test]
    fn plan_is_what_extracting_one_after_another_gives(images in images()) {
        let count = images.len();
        let images: Vec<Made> =
            images.iter().enumerate().map(|(number, one)| made(number, count, one)).collect();
        let all: Vec<_> = images.iter().map(Made::image).collect();
        let planned = plan(&all[0], &all[1..], &Limits::default()).unwrap();
        let found: BTreeMap<String, There> = planned
            .files
            .iter()
            .map(|file| {
                let path = file.path.strip_prefix(b"rootfs/").unwrap_or_default().to_vec();
                let there = match file.source {
                    Source::Made => There::Made,
                    Source::Entry { image_id, entry, .. } => {
                        let at = all.iter().position(|image| image.image_id == image_id).unwrap();
                        match all[at].entries[entry].kind {
                            EntryKind::Directory => There::Directory((at, entry)),
                            _ => There::Other((at, entry)),
                        }
                    }
                    Source::Link { .. } => unreachable!("there are no hard links here"),
                };
                (String::from_utf8(path).unwrap(), there)
            })
            .collect();
        prop_assert_eq!(planned.files.len(), found.len());
        prop_assert_eq!(found, rendered(&modelled(&images), 0));
    }
}
