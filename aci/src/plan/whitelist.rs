//! The path whitelist (spec: aci.md, "pathWhitelist").

use std::collections::HashSet;

/// The paths that an image's manifest says remain.
///
/// - a path stands for itself: a folder on the list does not bring what is in it
/// - paths are brought into one form first, as rkt does: `/x/../f`, `./f`, `f/` and `f` are one
/// - the rootfs itself always remains
/// - a folder that is not on the list remains only as long as something in it does
#[derive(Debug, Clone)]
pub struct Whitelist(HashSet<Vec<u8>>);

impl Whitelist {
    /// The whitelist of a manifest; `None` for an empty list, which means that all remains.
    pub fn new(paths: &[String]) -> Option<Self> {
        (!paths.is_empty()).then(|| Self(paths.iter().map(|path| cleaned(path)).collect()))
    }

    /// Whether `path` is on it: a path below the rootfs, without a slash at either end.
    pub fn names(&self, path: &[u8]) -> bool {
        path.is_empty() || self.0.contains(path)
    }
}

/// Below the root, `..` resolved by its text.
fn cleaned(path: &str) -> Vec<u8> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments.join("/").into_bytes()
}
