//! Filling a folder by the plan of an image and its dependencies.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use aci::archive::{
    ArchiveError, ArchiveParts, ContentAt, Entry, EntryKind, TreeBuilder, UnpackOptions,
};
use aci::plan::{Plan, PlanImage, Source, plan};
use aci::{ContentHash, ImageId, Limits};

use super::gather::{Gathered, gather};
use super::{Link, RenderError, Rendered, at, ownership, remarks};
use crate::store::{ImageIndex, Objects, StoreError, StoredImage, digest_of, tee};

/// Renders an image with its dependencies into an existing empty folder.
pub(super) fn fill(
    image: &StoredImage,
    folder: &Path,
    link: Link,
    limits: &Limits,
) -> Result<Rendered, RenderError> {
    let gathered = gather(image, limits)?;
    fill_gathered(&gathered, folder, link, limits)
}

/// The same, for images that are open already.
pub(super) fn fill_gathered(
    gathered: &Gathered<'_>,
    folder: &Path,
    link: Link,
    limits: &Limits,
) -> Result<Rendered, RenderError> {
    let others: Vec<PlanImage<'_>> = gathered.others.iter().map(|other| other.planned()).collect();
    let plan = plan(&gathered.top.planned(), &others, limits)?;
    let image = gathered.top.image;
    let options = UnpackOptions::new(ownership());
    let mut filler = Filler {
        members: members(gathered),
        tree: TreeBuilder::new(folder, &options)?,
        objects: Objects::begin(image.store())?,
        link,
        folder,
        unlinked: 0,
    };
    if filler.objects.is_none() && matches!(link, Link::Hard | Link::Reflink) {
        let how = if link == Link::Hard { "hard-linked" } else { "reflinked" };
        return Err(filler.impossible(how, &image.store().objects()));
    }
    let (later, links) = filler.place_all(&plan)?;
    filler.read_archives(later, limits)?;
    for link in links {
        filler.tree.place(&link, &mut |_| Ok(0))?;
    }
    let Filler { tree, objects, unlinked, .. } = filler;
    let left_out = tree.finish(image.manifest_bytes())?;
    if let Some(objects) = objects {
        objects.commit()?;
    }
    let mut remarks = remarks(&left_out);
    remarks.extend(whitelisted(gathered, &plan));
    if unlinked > 0 {
        let why = "have extended attributes or too many names already, and were copied";
        remarks.push(format!("{unlinked} files {why}"));
    }
    for other in &gathered.others {
        other.image.mark_used();
    }
    Ok(Rendered {
        image_id: image.record().image_id.clone(),
        manifest: image.manifest().clone(),
        images: order(&plan),
        remarks,
    })
}

fn members<'g>(gathered: &'g Gathered<'_>) -> HashMap<&'g ImageId, Member<'g>> {
    let top = Member { image: gathered.top.image, index: &gathered.top.index };
    let others =
        gathered.others.iter().map(|other| Member { image: &other.image, index: &other.index });
    std::iter::once(top).chain(others).map(|one| (&one.image.record().image_id, one)).collect()
}

/// The images of a plan, each at its last place.
fn order(plan: &Plan<'_>) -> Vec<ImageId> {
    let mut order: Vec<ImageId> = Vec::new();
    for visit in plan.order.iter().rev() {
        if !order.contains(visit.image_id) {
            order.push(visit.image_id.clone());
        }
    }
    order.reverse();
    order
}

/// What the image's own whitelist has left out of it.
fn whitelisted(gathered: &Gathered<'_>, plan: &Plan<'_>) -> Option<String> {
    let top = gathered.top.image;
    if top.manifest().path_whitelist.is_empty() {
        return None;
    }
    let id = &top.record().image_id;
    let taken = plan.files.iter().filter(|file| match file.source {
        Source::Made => false,
        Source::Entry { image_id, .. } | Source::Link { image_id, .. } => image_id == id,
    });
    let left_out = gathered.top.index.entries.len().saturating_sub(taken.count());
    Some(format!(
        "{left_out} files and folders were left out, which the image's pathWhitelist does not name"
    ))
}

struct Member<'g> {
    image: &'g StoredImage,
    index: &'g ImageIndex,
}

/// A file that is no object yet.
struct Later<'p> {
    image_id: &'p ImageId,
    content: ContentAt,
    path: &'p [u8],
    /// The entry that says what it is.
    number: usize,
}

struct Filler<'f> {
    members: HashMap<&'f ImageId, Member<'f>>,
    tree: TreeBuilder<'f>,
    /// `None` where the caller may not write in the store.
    objects: Option<Objects>,
    link: Link,
    folder: &'f Path,
    /// Files that were to be linked and had to be copied.
    unlinked: u64,
}

impl<'f> Filler<'f> {
    /// Places all but hard links and the files that have to be read from an archive.
    fn place_all<'p>(
        &mut self,
        plan: &Plan<'p>,
    ) -> Result<(Vec<Later<'p>>, Vec<Entry>), RenderError> {
        let (mut later, mut links) = (Vec::new(), Vec::new());
        for file in &plan.files {
            match file.source {
                Source::Made => self.tree.place(&made(file.path), &mut |_| Ok(0))?,
                Source::Link { image_id, entry, target } => {
                    let mut link = self.index(image_id)?.entry(entry)?.entry;
                    link.path = file.path.into();
                    link.kind = EntryKind::HardLink { target: target.into() };
                    links.push(link);
                }
                Source::Entry { image_id, content: number, .. } => {
                    let mut found = self.index(image_id)?.entry(number)?;
                    found.entry.path = file.path.into();
                    match found.content.filter(|content| content.size > 0) {
                        None => self.tree.place(&found.entry, &mut |_| Ok(0))?,
                        Some(content) if self.has(&content) => {
                            self.place_object(&found.entry, &content, Trust::Hashed)?;
                        }
                        Some(content) => {
                            later.push(Later { image_id, content, path: file.path, number });
                        }
                    }
                }
            }
        }
        Ok((later, links))
    }

    fn index(&self, image_id: &ImageId) -> Result<&'f ImageIndex, RenderError> {
        Ok(self.member(image_id)?.index)
    }

    fn member(&self, image_id: &ImageId) -> Result<&Member<'f>, RenderError> {
        // A plan names only images that it was given.
        self.members.get(image_id).ok_or_else(|| {
            let wanted = image_id.to_string();
            StoreError::Absent { wanted, similar: Vec::new() }.into()
        })
    }

    fn has(&self, content: &ContentAt) -> bool {
        self.objects.as_ref().is_some_and(|objects| objects.has(&content.digest.digits()))
    }

    /// Places the files that are no objects, each archive read once from front to back.
    fn read_archives(
        &mut self,
        mut later: Vec<Later<'_>>,
        limits: &Limits,
    ) -> Result<(), RenderError> {
        later.sort_by(|one, other| {
            (one.image_id, one.content.offset).cmp(&(other.image_id, other.content.offset))
        });
        let mut open: Option<(&ImageId, ArchiveParts<Arc<File>>)> = None;
        for Later { image_id, content, path, number } in later {
            let mut entry = self.index(image_id)?.entry(number)?.entry;
            entry.path = path.into();
            // Another path may have had the same content just now.
            if self.has(&content) {
                self.place_object(&entry, &content, Trust::Hashed)?;
                continue;
            }
            let mut parts = match open.take() {
                Some((id, parts)) if id == image_id => parts,
                _ => {
                    let Member { image, index } = self.member(image_id)?;
                    let compression = image.record().compression;
                    ArchiveParts::new(image.parts()?, compression, index.points.clone(), limits)
                }
            };
            self.read_one(&entry, &content, &mut parts, image_id)?;
            open = Some((image_id, parts));
        }
        Ok(())
    }

    /// Places a file that the archive has, and keeps its content as an object.
    fn read_one(
        &mut self,
        entry: &Entry,
        content: &ContentAt,
        parts: &mut ArchiveParts<Arc<File>>,
        image_id: &ImageId,
    ) -> Result<(), RenderError> {
        parts.seek(content.offset)?;
        let name = content.digest.digits();
        let mut object = match &mut self.objects {
            Some(objects) => Some(objects.create(&name)?),
            None => None,
        };
        let (mut hash, mut left) = (ContentHash::default(), content.size);
        let mut read = |buffer: &mut [u8]| -> Result<usize, ArchiveError> {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = if want == 0 { 0 } else { parts.read(&mut buffer[..want])? };
            hash.update(&buffer[..got]);
            left -= got as u64;
            tee(object.as_mut(), &buffer[..got])?;
            Ok(got)
        };
        // The object is complete first where the tree's file may be the same one.
        let shared = self.objects.is_some() && self.link != Link::Copy;
        if shared {
            let mut buffer = vec![0; 256 << 10];
            while read(&mut buffer)? > 0 {}
        } else {
            self.tree.place(entry, &mut read)?;
        }
        let found = hash.finish();
        if left > 0 || found != content.digest {
            let Member { image, .. } = self.member(image_id)?;
            let path = image.store().image_folder(image_id).join(crate::store::IMAGE_FILE);
            let what = format!("{} in it has the digest {found}", entry.path);
            return Err(StoreError::Damaged { id: image_id.clone(), path, what }.into());
        }
        if let Some(objects) = &mut self.objects {
            objects.keep(&name);
        }
        if shared {
            self.place_object(entry, content, Trust::JustWritten)?;
        }
        Ok(())
    }

    /// Places a file from the object that has its content.
    fn place_object(
        &mut self,
        entry: &Entry,
        content: &ContentAt,
        trust: Trust,
    ) -> Result<(), RenderError> {
        let Some(objects) = &mut self.objects else { return Ok(()) };
        let name = content.digest.digits();
        let path = objects.path(&name);
        let open = || File::open(&path).map_err(StoreError::io("open", &path));
        let check = |found| match found {
            Ok(found) if found == content.digest => Ok(()),
            Ok(found) => {
                let what = format!("its digest is {found}");
                Err(StoreError::Object { path: path.clone(), what })
            }
            Err(error) => Err(StoreError::io("read", &path)(error)),
        };
        if self.link == Link::Hard {
            if self.tree.is_exact(entry) {
                let dressed = objects.dressed(&content.digest, entry, &mut self.tree)?;
                if trust == Trust::Hashed {
                    check(File::open(&dressed).and_then(digest_of))?;
                }
                if self.tree.place_link(entry, &dressed)? {
                    return Ok(());
                }
                self.refuse_other_file_system("hard-linked", &path)?;
            }
            self.unlinked += 1;
        }
        if matches!(self.link, Link::Auto | Link::Reflink) {
            let object = open()?;
            if self.tree.place_clone(entry, &object)? {
                return if trust == Trust::Hashed { Ok(check(digest_of(object))?) } else { Ok(()) };
            }
            if self.link == Link::Reflink {
                return Err(self.impossible("reflinked", &path));
            }
            // It cannot: that need not be asked for every file.
            self.link = Link::Copy;
        }
        let mut object = open()?;
        let mut hash = ContentHash::default();
        self.tree.place(entry, &mut |buffer| {
            let got = read_some(&mut object, buffer)?;
            hash.update(&buffer[..got]);
            Ok(got)
        })?;
        Ok(check(Ok(hash.finish()))?)
    }

    fn refuse_other_file_system(&self, how: &'static str, path: &Path) -> Result<(), RenderError> {
        let device =
            |path: &Path| rustix::fs::stat(path).map(|found| found.st_dev).map_err(io::Error::from);
        let here = device(self.folder).map_err(at(self.folder))?;
        let there = device(path).map_err(at(path))?;
        if here == there { Ok(()) } else { Err(self.impossible(how, path)) }
    }

    fn impossible(&self, how: &'static str, store: &Path) -> RenderError {
        RenderError::Link { how, store: store.to_owned(), target: self.folder.to_owned() }
    }
}

/// Whether the content of an object is to be compared with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Hashed,
    JustWritten,
}

/// A folder that no image has an entry for.
fn made(path: &[u8]) -> Entry {
    let kind = EntryKind::Directory;
    Entry { path: path.into(), kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new() }
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return Ok(other?),
        }
    }
}
