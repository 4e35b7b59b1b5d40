//! Names in an image that are allowed and probably not meant.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use unicode_normalization::UnicodeNormalization;

use super::entry::{Entry, EntryKind};
use super::layout::Layout;
use super::seen::Seen;
use super::validate::Validated;
use crate::manifest::ImageManifest;

/// Bytes of symlinks that are remembered, to follow the way to the program.
const MAX_LINKS: usize = 8 << 20;
/// What a link takes in memory besides its two texts.
const LINK_BYTES: usize = 128;
/// Symlinks on one way, as in Linux.
const MAX_FOLLOWED: usize = 40;

/// The names of an image, as far as something about them may have to be told.
#[derive(Default)]
pub(super) struct Names {
    keys: RandomState,
    /// Plain forms of the names that are not plain themselves, each below its folder. Two names
    /// cannot have one plain form unless one of them at least is in here, so few are.
    folded: HashSet<u64>,
    links: HashMap<Vec<u8>, Vec<u8>>,
    link_bytes: usize,
}

impl Names {
    /// Looks at an entry that the layout has admitted.
    pub(super) fn look(&mut self, entry: &Entry, layout: &Layout, found: &mut Validated) {
        const OCI: &str = "OCI image specification, Image Layer Filesystem Changeset, Whiteouts";
        let path = &entry.path.0;
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        if name.starts_with(b".wh.") {
            let message = format!("{}: layered formats take the name for a deletion", entry.path);
            found.warn("name-whiteout", message, OCI);
        }
        if self.collides(path, name, layout) {
            let message = format!(
                "{}: an earlier entry has this name but for case or Unicode form, and takes its \
                 place where they are not told apart",
                entry.path
            );
            found.warn("name-collision", message, "Unicode Standard Annex 15; file systems");
        }
        if let EntryKind::Symlink { target } = &entry.kind {
            self.link_bytes += LINK_BYTES + path.len() + target.0.len();
            if self.link_bytes <= MAX_LINKS {
                self.links.insert(path.clone(), target.0.clone());
            }
        }
    }

    fn collides(&mut self, path: &[u8], name: &[u8], layout: &Layout) -> bool {
        let Ok(text) = std::str::from_utf8(name) else { return false };
        let plain: String = text.nfc().collect::<String>().to_lowercase().nfc().collect();
        let mut plain_path = path[..path.len() - name.len()].to_vec();
        plain_path.extend_from_slice(plain.as_bytes());
        let key = self.keys.hash_one(&plain_path);
        if plain == text {
            return self.folded.contains(&key);
        }
        // The plain name itself may have come before.
        let first = self.folded.insert(key);
        !first || layout.look(&plain_path).is_some()
    }

    /// Tells where the program that an image runs is not in it. An image that is built on
    /// others may have it from them.
    pub(super) fn check_exec(
        &self,
        manifest: &ImageManifest,
        layout: &Layout,
        found: &mut Validated,
    ) {
        const RULE: &str = "spec: aci.md, app.exec";
        let Some(program) = manifest.app.as_ref().and_then(|app| app.exec.first()) else { return };
        if !program.starts_with('/') {
            return;
        }
        let kept = &manifest.path_whitelist;
        if !kept.is_empty() && !kept.contains(program) {
            let message = format!("exec runs {program}, which pathWhitelist leaves out");
            found.warn("exec-not-whitelisted", message, RULE);
        }
        if !manifest.dependencies.is_empty() || self.link_bytes > MAX_LINKS {
            return;
        }
        match self.resolve(program.as_bytes(), layout) {
            Some(Seen::Other) => {}
            Some(_) => {
                let message = format!("exec runs {program}, which is a directory in the rootfs");
                found.warn("exec-directory", message, RULE);
            }
            None => {
                let message = format!("exec runs {program}, which is not in the rootfs");
                found.warn("exec-absent", message, RULE);
            }
        }
    }

    /// What is at a path of the rootfs, symlinks followed as a running program would.
    fn resolve(&self, path: &[u8], layout: &Layout) -> Option<Seen> {
        let mut todo: Vec<Vec<u8>> = Vec::new();
        let push = |todo: &mut Vec<Vec<u8>>, path: &[u8]| {
            let segments = path.split(|&b| b == b'/').rev().filter(|it| !matches!(*it, b"" | b"."));
            todo.extend(segments.map(<[u8]>::to_vec));
        };
        push(&mut todo, path);
        let mut at = b"rootfs".to_vec();
        let mut followed = 0;
        while let Some(segment) = todo.pop() {
            if segment == b".." {
                // Above the root is the root.
                let parent = at.iter().rposition(|&b| b == b'/').unwrap_or(at.len());
                at.truncate(parent);
                continue;
            }
            let parent = at.len();
            at.push(b'/');
            at.extend_from_slice(&segment);
            if let Some(target) = self.links.get(&at) {
                followed += 1;
                if followed > MAX_FOLLOWED {
                    return None;
                }
                at.truncate(if target.starts_with(b"/") { b"rootfs".len() } else { parent });
                push(&mut todo, target);
            }
        }
        layout.look(&at)
    }
}
