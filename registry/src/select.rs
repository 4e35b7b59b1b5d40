//! Which image a reference means.
//!
//! Every label asked for must be the image's (spec: discovery.md, "Validation"),
//! but an image without an `os` or `arch` label runs anywhere and serves for a
//! request that names them, where no image of that version has more of them. Without
//! a version, or with `latest`, the newest version is meant that any image serves in:
//! a newer one for other platforms alone does not count, nor one that its author has
//! withdrawn. What remains must be one image.

use aci::{Label, Labels, Reference};

use crate::catalog::{StoredImage, version_order};

mod candidates;

pub(crate) use candidates::candidates;

/// What a reference comes to.
#[derive(Debug)]
pub(crate) enum Selection<'a> {
    /// One image.
    Found(&'a StoredImage),
    /// None matches.
    Absent,
    /// Those that match were all withdrawn, and it is the newest that was asked for.
    Withdrawn,
    /// Several match, and nothing asked for tells them apart.
    Ambiguous(Vec<&'a StoredImage>),
}

/// Whether a reference asks for the newest version.
pub(crate) fn asks_for_newest(labels: &Labels) -> bool {
    matches!(labels.value("version"), None | Some("" | "latest"))
}

/// The one of these images, all of the reference's name, that it means.
pub(crate) fn select<'a>(images: &'a [StoredImage], reference: &Reference) -> Selection<'a> {
    let wanted = reference.labels();
    if !asks_for_newest(wanted) {
        return single(closest(serving(images.iter(), wanted), wanted), wanted);
    }
    let found = newest(images, wanted);
    let Selection::Found(newest) = found else { return found };
    let wanted = wanted.without("version");
    let version = newest.labels.value("version");
    let of_version = images.iter().filter(|i| !i.yanked && i.labels.value("version") == version);
    single(closest(serving(of_version, &wanted), &wanted), &wanted)
}

/// One that is of the newest version of these images that has what is wanted.
pub(crate) fn newest<'a>(images: &'a [StoredImage], wanted: &Labels) -> Selection<'a> {
    let wanted = wanted.without("version");
    let all = serving(images.iter().filter(|image| !image.yanked), &wanted);
    if all.is_empty() && !serving(images.iter(), &wanted).is_empty() {
        return Selection::Withdrawn;
    }
    // An author who labels a version "latest" says which one it is.
    let labelled = all.iter().find(|image| image.labels.value("version") == Some("latest"));
    match labelled.or_else(|| all.iter().max_by_key(|image| rank(image))) {
        Some(image) => Selection::Found(image),
        None => Selection::Absent,
    }
}

/// The order of versions; of two that are alike in it, the later push is newer.
pub(crate) fn rank(image: &StoredImage) -> (String, i64) {
    (version_order(image.labels.value("version")), image.sequence)
}

/// Whether a reference could mean an image of these labels.
pub(crate) fn means(reference: &Reference, labels: &Labels) -> bool {
    let wanted = reference.labels();
    match asks_for_newest(wanted) {
        true => serves(labels, &wanted.without("version")),
        false => serves(labels, wanted),
    }
}

/// Whether an image of these labels has every wanted one, or lacks no other than `os` and `arch`.
fn serves(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|Label { name, value }| match labels.value(name.as_str()) {
        Some(found) => found == value,
        None => matches!(name.as_str(), "os" | "arch"),
    })
}

fn serving<'a>(
    images: impl Iterator<Item = &'a StoredImage>,
    wanted: &Labels,
) -> Vec<&'a StoredImage> {
    images.filter(|image| serves(&image.labels, wanted)).collect()
}

/// Of images that serve, those that lack the fewest labels.
fn closest<'a>(images: Vec<&'a StoredImage>, wanted: &Labels) -> Vec<&'a StoredImage> {
    let lacks = |image: &StoredImage| {
        wanted.iter().filter(|label| image.labels.value(label.name.as_str()).is_none()).count()
    };
    let fewest = images.iter().map(|image| lacks(image)).min();
    images.into_iter().filter(|image| Some(lacks(image)) == fewest).collect()
}

/// The image with the fewest labels nobody asked for, where there is but one.
fn single<'a>(images: Vec<&'a StoredImage>, wanted: &Labels) -> Selection<'a> {
    let extra = |image: &StoredImage| {
        let unasked =
            |l: &&Label| l.name.as_str() != "version" && wanted.value(l.name.as_str()).is_none();
        image.labels.iter().filter(unasked).count()
    };
    let Some(fewest) = images.iter().map(|image| extra(image)).min() else {
        return Selection::Absent;
    };
    let plainest: Vec<_> = images.into_iter().filter(|image| extra(image) == fewest).collect();
    match plainest.as_slice() {
        [one] => Selection::Found(one),
        _ => Selection::Ambiguous(plainest),
    }
}

#[cfg(test)]
mod tests;
