//! The spec's own procedure, word for word and without regard to cost, to compare a plan with:
//! extract one image after another, each over what is there. It shares no code with the plan, so
//! that they do not make the same mistake.

use std::collections::BTreeMap;

/// An image as the procedure sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ModelImage {
    /// Numbers of other images.
    pub(crate) dependencies: Vec<usize>,
    /// As in the manifest.
    pub(crate) whitelist: Vec<String>,
    /// Paths below the rootfs, each once, and whether it is a directory; by number of entry.
    pub(crate) entries: BTreeMap<usize, (String, bool)>,
}

/// What is at a path in the end. Images and entries are named by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    /// Nothing but a folder that something needed.
    Made,
    /// A directory, as this entry says.
    Directory((usize, usize)),
    /// Something else, as this entry says.
    Other((usize, usize)),
}

/// The rendered root file system of an image, by path below the rootfs.
pub(crate) fn rendered(images: &[ModelImage], image: usize) -> BTreeMap<String, There> {
    extract(&extractions(images, image, &[]))
}

/// An extraction of one entry.
#[derive(Clone)]
struct Extraction {
    path: String,
    directory: bool,
    from: (usize, usize),
}

/// All that rendering an image extracts, in order. `above` are the whitelists it is under.
fn extractions(images: &[ModelImage], number: usize, above: &[Vec<String>]) -> Vec<Extraction> {
    let image = &images[number];
    let own: Vec<String> = image.whitelist.iter().map(|path| cleaned(path)).collect();
    let mut below = above.to_vec();
    below.push(own.clone());
    let mut all: Vec<Extraction> = image
        .dependencies
        .iter()
        .flat_map(|&dependency| extractions(images, dependency, &below))
        .collect();
    let mut admitted: Vec<Extraction> = Vec::new();
    for (&entry, (path, directory)) in &image.entries {
        let from = (number, entry);
        let taken = above.iter().all(|above| names(above, path));
        if taken && (*directory || names(&own, path)) {
            admitted.push(Extraction { path: path.clone(), directory: *directory, from });
        }
    }
    // What an image has below a path of its own that is no directory is left out.
    let files: Vec<String> =
        admitted.iter().filter(|one| !one.directory).map(|one| one.path.clone()).collect();
    admitted.retain(|one| !files.iter().any(|file| is_below(&one.path, file)));
    admitted.sort_by(|one, other| one.path.cmp(&other.path));
    let (firm, waiting): (Vec<Extraction>, Vec<Extraction>) =
        admitted.into_iter().partition(|one| !one.directory || names(&own, &one.path));
    all.extend(firm);
    // A folder that is not on the image's own list stays for what is in it by then. Its entry
    // changes what the folder is like, not what is in it, so it may come last.
    let there = extract(&all);
    let needed = |folder: &Extraction| there.keys().any(|path| is_below(path, &folder.path));
    let needed: Vec<Extraction> = waiting.into_iter().filter(needed).collect();
    all.extend(needed);
    all
}

fn extract(all: &[Extraction]) -> BTreeMap<String, There> {
    let mut tree = BTreeMap::from([(String::new(), There::Made)]);
    for Extraction { path, directory, from } in all {
        for (end, _) in path.match_indices('/') {
            let folder = &path[..end];
            if !matches!(tree.get(folder), Some(There::Made | There::Directory(_))) {
                tree.insert(folder.to_owned(), There::Made);
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

fn is_below(path: &str, folder: &str) -> bool {
    if folder.is_empty() {
        return !path.is_empty();
    }
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a whitelist lets a path remain. An empty one lets all remain.
fn names(whitelist: &[String], path: &str) -> bool {
    whitelist.is_empty() || path.is_empty() || whitelist.iter().any(|one| one == path)
}

fn cleaned(path: &str) -> String {
    let mut cleaned = String::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
        if segment == ".." {
            cleaned.truncate(cleaned.rfind('/').unwrap_or_default());
        } else {
            if !cleaned.is_empty() {
                cleaned.push('/');
            }
            cleaned.push_str(segment);
        }
    }
    cleaned
}
