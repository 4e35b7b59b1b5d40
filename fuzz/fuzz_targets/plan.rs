//! Images, dependencies, whitelists and entries, a line each: a plan gives what the spec's own
//! procedure gives, each path once, none outside the rootfs, every folder before what is in it,
//! and the same the second time. What it refuses, it refuses for a reason that is there.
//!
//! ```text
//! i           an image; the first is the one that is rendered
//! n2          it depends on image 2
//! k/bin/hello its whitelist names a path
//! d f l h     a directory, a file, a symlink, a hard link: `drootfs/bin`, `hrootfs/sh>rootfs/ash`
//! ```
#![no_main]

use std::collections::{BTreeMap, HashSet};

use aci::archive::{EntryKind, PathBytes};
use aci::manifest::{Dependency, Extra};
use aci::plan::{Plan, PlanEntry, PlanError, PlanImage, Source, plan};
use aci::{ImageId, ImageManifest, Labels, Limits};
use libfuzzer_sys::fuzz_target;

// The procedure is private to the crate's tests, so its file is compiled into this one.
#[path = "../../aci/src/plan/model.rs"]
mod model;

use model::{ModelImage, There, rendered};

struct Image {
    id: ImageId,
    manifest: ImageManifest,
    needs: Vec<usize>,
    entries: Vec<PlanEntry>,
}

fuzz_target!(|text: &str| {
    let images = read(text);
    if images.is_empty() {
        return;
    }
    let limits = Limits { dependency_depth: 8, dependencies: 40, ..Limits::default() };
    let all: Vec<PlanImage<'_>> = images.iter().map(Image::planned).collect();
    let planned = plan(&all[0], &all[1..], &limits);
    assert_eq!(planned, plan(&all[0], &all[1..], &limits));
    match planned {
        Ok(plan) => {
            check_paths(&plan);
            check_sources(&plan, &images);
            assert!(plan.order.last().is_some_and(|visit| visit.image_id == &images[0].id));
            check_procedure(&plan, &images);
        }
        Err(PlanError::Cycle(circle)) => {
            assert!(circle.len() > 1 && circle.first() == circle.last());
            let number = |name: &String| images.iter().position(|i| i.name() == *name);
            for pair in circle.windows(2) {
                let (by, on) = (number(&pair[0]).expect("it is there"), number(&pair[1]));
                assert!(images[by].needs.iter().any(|&need| Some(need) == on));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

impl Image {
    fn name(&self) -> String {
        self.manifest.name.to_string()
    }

    fn planned(&self) -> PlanImage<'_> {
        PlanImage {
            image_id: &self.id,
            manifest: &self.manifest,
            file_bytes: None,
            entries: &self.entries,
        }
    }
}

fn read(text: &str) -> Vec<Image> {
    let mut images: Vec<Image> = Vec::new();
    let name = |number: usize| format!("i{number}").parse().expect("a name");
    for line in text.lines() {
        let Some(kind) = line.chars().next() else { continue };
        let rest = &line[kind.len_utf8()..];
        if kind == 'i' && images.len() < 6 {
            let number = images.len();
            let manifest = ImageManifest::new(name(number), Labels::default());
            let id = ImageId::of([number as u8; 64]);
            images.push(Image { id, manifest, needs: Vec::new(), entries: Vec::new() });
        }
        let Some(image) = images.last_mut() else { continue };
        let mut add = |path: &str, kind| {
            image.entries.push(PlanEntry { path: path.into(), kind });
        };
        match kind {
            'n' => image.needs.extend(rest.parse::<usize>().ok().filter(|&need| need < 6)),
            'k' => image.manifest.path_whitelist.push(rest.to_owned()),
            'd' => add(rest, EntryKind::Directory),
            'f' => add(rest, EntryKind::File { size: 1 }),
            'l' => add(rest, EntryKind::Symlink { target: "/".into() }),
            'h' => {
                let (path, target) = rest.split_once('>').unwrap_or((rest, ""));
                add(path, EntryKind::HardLink { target: target.into() });
            }
            _ => {}
        }
    }
    for image in &mut images {
        // The procedure goes every way there is: two of them in six images are 2^5.
        image.needs.truncate(2);
        image.manifest.dependencies = image
            .needs
            .iter()
            .map(|&need| Dependency {
                image_name: name(need),
                image_id: None,
                labels: Labels::default(),
                size: None,
                extra: Extra::default(),
            })
            .collect();
    }
    images
}

fn check_paths(plan: &Plan<'_>) {
    assert_eq!(plan.files.first().map(|file| file.path), Some(&b"rootfs"[..]));
    let mut seen: HashSet<&[u8]> = HashSet::new();
    for file in &plan.files {
        assert!(seen.insert(file.path), "{:?} twice", PathBytes::from(file.path));
        for (at, segment) in file.path.split(|&byte| byte == b'/').enumerate() {
            assert!(at > 0 || segment == b"rootfs");
            assert!(!matches!(segment, b"" | b"." | b"..") && !segment.contains(&0));
        }
        if let Some(slash) = file.path.iter().rposition(|&byte| byte == b'/') {
            assert!(seen.contains(&file.path[..slash]), "a file before its folder");
        }
    }
}

fn check_sources(plan: &Plan<'_>, images: &[Image]) {
    let by_id = |id: &ImageId| images.iter().find(|image| image.id == *id).expect("an image");
    for file in &plan.files {
        match file.source {
            Source::Made => {}
            Source::Entry { image_id, entry, content } => {
                let entries = &by_id(image_id).entries;
                assert_eq!(inside(&entries[entry].path), inside(&file.path.into()));
                let is_link = |at: usize| matches!(entries[at].kind, EntryKind::HardLink { .. });
                assert!(!is_link(content));
                assert_eq!(content != entry, is_link(entry));
                assert!(content <= entry);
            }
            Source::Link { image_id, entry, target } => {
                let entries = &by_id(image_id).entries;
                assert!(matches!(entries[entry].kind, EntryKind::HardLink { .. }));
                let target = plan.files.iter().find(|file| file.path == target);
                let Some(Source::Entry { image_id: of, entry: earlier, content }) =
                    target.map(|file| file.source)
                else {
                    panic!("a link to nothing");
                };
                assert!(of == image_id && earlier < entry);
                assert!(entries[content].kind != EntryKind::Directory);
            }
        }
    }
}

fn inside(path: &PathBytes) -> Option<String> {
    let path = std::str::from_utf8(&path.0).ok()?;
    let path = path.strip_prefix("./").unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let below = path.strip_prefix("rootfs")?;
    if below.is_empty() {
        return Some(String::new());
    }
    let below = below.strip_prefix('/')?;
    let plain = |s: &str| !matches!(s, "" | "." | "..") && !s.contains('\0');
    below.split('/').all(plain).then(|| below.to_owned())
}

fn check_procedure(plan: &Plan<'_>, images: &[Image]) {
    let model = |image: &Image| {
        let entry = |(at, entry): (usize, &PlanEntry)| {
            Some((at, (inside(&entry.path)?, entry.kind == EntryKind::Directory)))
        };
        ModelImage {
            dependencies: image.needs.clone(),
            whitelist: image.manifest.path_whitelist.clone(),
            entries: image.entries.iter().enumerate().filter_map(entry).collect(),
        }
    };
    let models: Vec<ModelImage> = images.iter().map(model).collect();
    let found: BTreeMap<String, There> = plan
        .files
        .iter()
        .map(|file| {
            let there = match file.source {
                Source::Made => There::Made,
                Source::Entry { image_id, entry, .. } | Source::Link { image_id, entry, .. } => {
                    let at = images.iter().position(|image| image.id == *image_id);
                    let at = at.expect("an image");
                    match images[at].entries[entry].kind {
                        EntryKind::Directory => There::Directory((at, entry)),
                        _ => There::Other((at, entry)),
                    }
                }
            };
            (inside(&file.path.into()).expect("a path inside"), there)
        })
        .collect();
    assert_eq!(found, rendered(&models, 0));
}
