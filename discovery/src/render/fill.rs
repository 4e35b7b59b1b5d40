//! Filling a folder by the plan of an image and its dependencies.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use aci::archive::{
    ArchiveError, ArchiveParts, ContentAt, Entry, EntryKind, FileContent, Linked, PathBytes,
    TreeBuilder, UnpackOptions,
};
use aci::plan::{Plan, PlannedFile, Source};
use aci::{ContentHash, ImageId, Limits};

use super::gather::{Gathered, gather};
use super::layer::Layer;
use super::{Link, RenderError, Rendered, at, ownership, remarks};
use crate::store::{Checks, Creator, ImageIndex, Objects, StoreError, StoredImage};

/// Renders an image with its dependencies into an existing empty folder.
pub(super) fn fill(
    image: &StoredImage,
    folder: &Path,
    link: Link,
    limits: &Limits,
) -> Result<Rendered, RenderError> {
    let gathered = gather(image, limits)?;
    let plan = gathered.plan(limits)?;
    fill_planned(&gathered, &plan, None, folder, link, limits)
}

/// The same, for images that are open already; with a layer that alone.
pub(super) fn fill_planned(
    gathered: &Gathered<'_>,
    plan: &Plan<'_>,
    layer: Option<&Layer<'_>>,
    folder: &Path,
    link: Link,
    limits: &Limits,
) -> Result<Rendered, RenderError> {
    let image = gathered.top.image;
    let options = UnpackOptions::new(ownership());
    let mut filler = Filler {
        members: members(gathered),
        tree: TreeBuilder::new(folder, &options)?,
        objects: Objects::begin(image.store())?,
        link,
        folder,
        unlinked: 0,
        checks: Checks::default(),
    };
    if filler.objects.is_none() && matches!(link, Link::Hard | Link::Reflink) {
        let how = if link == Link::Hard { "hard-linked" } else { "reflinked" };
        return Err(filler.impossible(how, &image.store().objects()));
    }
    let (later, links) = filler.place_all(layer.map_or(&plan.files, |layer| &layer.files))?;
    filler.place_later(later, limits)?;
    for link in links {
        filler.tree.place(&link, &mut |_| Ok(0))?;
    }
    for hidden in layer.iter().flat_map(|layer| &layer.hidden) {
        filler.tree.place_whiteout(hidden)?;
    }
    let Filler { tree, objects, unlinked, checks, .. } = filler;
    checks.finish()?;
    let left_out = tree.finish(image.manifest_bytes())?;
    if let Some(objects) = objects {
        objects.commit()?;
    }
    let mut remarks = remarks(&left_out);
    remarks.extend(whitelisted(gathered, plan));
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
        images: order(plan),
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

#[derive(Clone, Copy)]
struct Member<'g> {
    image: &'g StoredImage,
    index: &'g ImageIndex,
}

fn member<'f>(
    members: &HashMap<&'f ImageId, Member<'f>>,
    image_id: &ImageId,
) -> Result<Member<'f>, RenderError> {
    // A plan names only images that it was given.
    members.get(image_id).copied().ok_or_else(|| {
        let wanted = image_id.to_string();
        StoreError::Absent { wanted, similar: Vec::new() }.into()
    })
}

/// A file that is no object yet.
struct Later<'p> {
    image_id: &'p ImageId,
    content: ContentAt,
    path: &'p [u8],
    /// The entry that says what it is.
    number: usize,
}

/// Files whose contents were written and that are not placed yet, at most.
const WRITTEN_AHEAD: usize = 64;

/// The contents of files, read from the archives of their images.
struct Contents<'c, 'f> {
    members: &'c HashMap<&'f ImageId, Member<'f>>,
    /// The archive that was read last.
    open: Option<(&'f ImageId, ArchiveParts<Arc<File>>)>,
    limits: &'c Limits,
}

impl Contents<'_, '_> {
    /// Writes them all as objects, each once, and tells of each when it is there.
    fn write_all(
        mut self,
        later: &[Later<'_>],
        creator: &Creator,
        ready: &SyncSender<usize>,
    ) -> Result<(), RenderError> {
        let mut written = HashSet::new();
        let mut buffer = vec![0; 64 << 10];
        for (number, one) in later.iter().enumerate() {
            if written.insert(one.content.digest) {
                let mut object = creator.create(&one.content.digest.digits())?;
                self.read(one, |content| {
                    loop {
                        match content(&mut buffer)? {
                            0 => return Ok(()),
                            got => object.write_all(&buffer[..got])?,
                        }
                    }
                })?;
            }
            if ready.send(number).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Shows the content of one file to `take`, which reads it to its end, and checks its digest.
    fn read(
        &mut self,
        one: &Later<'_>,
        take: impl FnOnce(FileContent<'_>) -> Result<(), ArchiveError>,
    ) -> Result<(), RenderError> {
        let Member { image, index } = member(self.members, one.image_id)?;
        let id = &image.record().image_id;
        let (_, parts) = match &mut self.open {
            Some(open) if open.0 == id => open,
            closed => {
                let compression = image.record().compression;
                let points = index.points.clone();
                let parts = ArchiveParts::new(image.parts()?, compression, points, self.limits);
                closed.insert((id, parts))
            }
        };
        let content = &one.content;
        parts.seek(content.offset)?;
        let (mut hash, mut left) = (ContentHash::default(), content.size);
        take(&mut |buffer| {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = if want == 0 { 0 } else { parts.read(&mut buffer[..want])? };
            hash.update(&buffer[..got]);
            left -= got as u64;
            Ok(got)
        })?;
        let found = hash.finish();
        if left > 0 || found != content.digest {
            let path = image.store().image_folder(id).join(crate::store::IMAGE_FILE);
            let what = format!("{} in it has the digest {found}", PathBytes::from(one.path));
            return Err(StoreError::Damaged { id: id.clone(), path, what }.into());
        }
        Ok(())
    }
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
    checks: Checks,
}

impl<'f> Filler<'f> {
    /// Places all but hard links and the files that have to be read from an archive.
    fn place_all<'p>(
        &mut self,
        files: &[PlannedFile<'p>],
    ) -> Result<(Vec<Later<'p>>, Vec<Entry>), RenderError> {
        let (mut later, mut links) = (Vec::new(), Vec::new());
        for file in files {
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
                        Some(content) if self.place_dressed(&found.entry, &content)? => {}
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
        Ok(member(&self.members, image_id)?.index)
    }

    fn has(&self, content: &ContentAt) -> bool {
        self.objects.as_ref().is_some_and(|objects| objects.has(&content.digest.digits()))
    }

    /// Places the files that are no objects, each archive read once from front to back. Their
    /// contents become objects on a thread of their own, and are placed from there.
    fn place_later(
        &mut self,
        mut later: Vec<Later<'_>>,
        limits: &Limits,
    ) -> Result<(), RenderError> {
        if later.is_empty() {
            return Ok(());
        }
        later.sort_by(|one, other| {
            (one.image_id, one.content.offset).cmp(&(other.image_id, other.content.offset))
        });
        let members = self.members.clone();
        let contents = || Contents { members: &members, open: None, limits };
        let Some(objects) = &mut self.objects else {
            let mut contents = contents();
            return later.iter().try_for_each(|one| {
                let entry = self.entry(one)?;
                contents.read(one, |content| self.tree.place(&entry, content))
            });
        };
        let creator = objects.creator()?;
        thread::scope(|scope| {
            let (ready, written) = mpsc::sync_channel(WRITTEN_AHEAD);
            let later = &later;
            let writing = thread::Builder::new()
                .name("contents".to_owned())
                .spawn_scoped(scope, move || contents().write_all(later, &creator, &ready))
                .map_err(at(self.folder))?;
            let placed =
                written.iter().try_for_each(|number: usize| self.place_written(&later[number]));
            // Where placing has failed, this ends the writing.
            drop(written);
            writing.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            placed
        })
    }

    /// Places a file whose content was written as an object just now.
    fn place_written(&mut self, one: &Later<'_>) -> Result<(), RenderError> {
        let entry = self.entry(one)?;
        if let Some(objects) = &mut self.objects {
            objects.keep(&one.content.digest.digits());
        }
        self.place_object(&entry, &one.content, Trust::JustWritten)
    }

    fn entry(&self, one: &Later<'_>) -> Result<Entry, RenderError> {
        let mut entry = self.index(one.image_id)?.entry(one.number)?.entry;
        entry.path = one.path.into();
        Ok(entry)
    }

    /// Links a file to the object that has its content and its properties. Where there is none,
    /// nothing is placed: that is seldom, and asking first would take as long as linking.
    fn place_dressed(&mut self, entry: &Entry, content: &ContentAt) -> Result<bool, RenderError> {
        let Some(objects) = self.objects.as_ref().filter(|_| self.link == Link::Hard) else {
            return Ok(false);
        };
        if !self.tree.is_exact(entry) {
            return Ok(false);
        }
        let place = objects.place(&objects.dressed_name(&content.digest, entry));
        match self.tree.place_link(entry, objects.folder(), &place)? {
            Linked::Placed => self.checks.add(objects, place, *content)?,
            Linked::Absent | Linked::Impossible => return Ok(false),
        }
        Ok(true)
    }

    /// Places a file from the object that has its content.
    fn place_object(
        &mut self,
        entry: &Entry,
        content: &ContentAt,
        trust: Trust,
    ) -> Result<(), RenderError> {
        let Some(objects) = &mut self.objects else { return Ok(()) };
        let path = objects.path(&content.digest.digits());
        let open = || File::open(&path).map_err(StoreError::io("open", &path));
        if self.link == Link::Hard {
            if self.tree.is_exact(entry) {
                let dressed = objects.dressed(&content.digest, entry, &mut self.tree)?;
                match self.tree.place_link(entry, objects.folder(), &dressed)? {
                    Linked::Placed => return Ok(self.check(dressed, content, trust)?),
                    Linked::Absent => return Err(at(&path)(io::ErrorKind::NotFound.into())),
                    Linked::Impossible => {}
                }
                self.refuse_other_file_system("hard-linked", &path)?;
            }
            self.unlinked += 1;
        }
        if matches!(self.link, Link::Auto | Link::Reflink) {
            if self.tree.place_clone(entry, &open()?)? {
                return Ok(self.check(path, content, trust)?);
            }
            if self.link == Link::Reflink {
                return Err(self.impossible("reflinked", &path));
            }
            // It cannot: that need not be asked for every file.
            self.link = Link::Copy;
        }
        let mut object = open()?;
        let mut hash = (trust == Trust::Hashed).then(ContentHash::default);
        self.tree.place(entry, &mut |buffer| {
            let got = read_some(&mut object, buffer)?;
            hash.iter_mut().for_each(|hash| hash.update(&buffer[..got]));
            Ok(got)
        })?;
        match hash.map(ContentHash::finish) {
            Some(found) if found != content.digest => Err(StoreError::altered(path, &found).into()),
            _ => Ok(()),
        }
    }

    /// Has the digest of an object that was placed unread compared with its name.
    fn check(
        &mut self,
        place: PathBuf,
        content: &ContentAt,
        trust: Trust,
    ) -> Result<(), StoreError> {
        match (&self.objects, trust) {
            (Some(objects), Trust::Hashed) => self.checks.add(objects, place, *content),
            _ => Ok(()),
        }
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
pub(super) fn made(path: &[u8]) -> Entry {
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
