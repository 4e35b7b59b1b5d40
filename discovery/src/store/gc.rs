//! Making room: images that nobody has used for a while, and what no image needs any more.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aci::archive::IndexRecord;
use aci::stage::{self, Hold};
use aci::{ContentDigest, ImageId, ImageManifest};
use jiff::Timestamp;
use serde::Serialize;

use super::fold::is_folded;
use super::index::each_record;
use super::objects::{OBJECTS_LOCK, ObjectName};
use super::read::entries;
use super::{INDEX_FILE, MANIFEST_FILE, Record, Store, StoreError, candidate, preference};

/// Which images go.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// How long an image stays after its last use.
    pub grace: Duration,
    /// How many images of each name stay however old they are, the preferred ones.
    pub keep_last: usize,
    /// Bytes that the store may take: then images past their time go only until it takes no
    /// more, those first that were used longest ago.
    pub budget: Option<u64>,
    /// Whether nothing is removed, and all is only told.
    pub dry_run: bool,
    /// The time that is now.
    pub now: Timestamp,
}

/// An image that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedImage {
    /// Its image ID.
    pub image_id: ImageId,
    /// Its name and labels.
    pub reference: String,
    /// When it was last used.
    pub last_used: Timestamp,
    /// Bytes of its files.
    pub bytes: u64,
}

/// What was removed, or would be.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// Images.
    pub images: Vec<RemovedImage>,
    /// Images that would have gone, but somebody uses them.
    pub in_use: Vec<ImageId>,
    /// Objects that no image needs.
    pub objects: u64,
    /// Rendered trees that no overlay lies on.
    pub trees: u64,
    /// Whether objects and trees were left alone, since somebody uses them.
    pub objects_in_use: bool,
    /// Images that were folded, where that was asked for too.
    pub folded: u64,
    /// Bytes that this gives back.
    pub freed_bytes: u64,
}

/// Removes images past their time, then the objects and trees that no image needs. What is in
/// use is left alone, and so is what an image that stays depends on.
pub fn collect(store: &Store, options: &GcOptions) -> Result<Collected, StoreError> {
    let mut collected = Collected::default();
    let all = Candidate::all(store)?;
    let mut gone = HashSet::new();
    for candidate in choose(store, &all, options)? {
        let id = &candidate.record.image_id;
        let Some(lock) = store.attempt_lock(id.as_str(), Hold::Exclusive)? else {
            collected.in_use.push(id.clone());
            continue;
        };
        if options.dry_run || store.remove_locked(id, &lock)? {
            gone.insert(id.clone());
            collected.freed_bytes += candidate.bytes;
            collected.images.push(candidate.removed());
        }
    }
    match store.attempt_lock(OBJECTS_LOCK, Hold::Exclusive)? {
        None => collected.objects_in_use = true,
        Some(_lock) => sweep(store, &gone, options, &mut collected)?,
    }
    Ok(collected)
}

/// An image, and what the choice depends on.
struct Candidate {
    record: Record,
    manifest: Option<ImageManifest>,
    last_used: Timestamp,
    bytes: u64,
}

impl Candidate {
    /// All images, those first that were used longest ago.
    fn all(store: &Store) -> Result<Vec<Self>, StoreError> {
        let candidate = |record: Record| {
            let folder = store.image_folder(&record.image_id);
            let manifest = fs::read(folder.join(MANIFEST_FILE))
                .ok()
                .and_then(|bytes| ImageManifest::from_json(&bytes).ok());
            let last_used = store.last_used(&record);
            Self { bytes: bytes_in(&folder), last_used, manifest, record }
        };
        let mut all: Vec<Self> = store.list()?.images.into_iter().map(candidate).collect();
        all.sort_by(|one, other| {
            (one.last_used, &one.record.image_id).cmp(&(other.last_used, &other.record.image_id))
        });
        Ok(all)
    }

    fn removed(&self) -> RemovedImage {
        RemovedImage {
            image_id: self.record.image_id.clone(),
            reference: self.record.reference().to_string(),
            last_used: self.last_used,
            bytes: self.bytes,
        }
    }
}

/// Which images go: in their order, those that nothing that stays depends on.
fn choose<'a>(
    store: &Store,
    all: &'a [Candidate],
    options: &GcOptions,
) -> Result<Vec<&'a Candidate>, StoreError> {
    let grace = jiff::SignedDuration::try_from(options.grace).unwrap_or(jiff::SignedDuration::MAX);
    let last = last_of_each_name(all, options.keep_last);
    let mut waiting: Vec<&Candidate> = all
        .iter()
        .filter(|one| options.now.duration_since(one.last_used) > grace)
        .filter(|one| !last.contains(&one.record.image_id))
        .collect();
    let needs = Needs::of(all);
    // How many images that stay depend on each.
    let mut dependents: HashMap<&ImageId, usize> = HashMap::new();
    for needed in needs.0.values().flatten() {
        *dependents.entry(needed).or_default() += 1;
    }
    let mut space = match options.budget {
        Some(_) => Some(Space::of(store, all)?),
        None => None,
    };
    let mut chosen: Vec<&Candidate> = Vec::new();
    // An image is free to go once those that depend on it have gone.
    loop {
        let fits =
            space.as_ref().zip(options.budget).is_some_and(|(space, most)| space.used <= most);
        let is_free = |one: &&Candidate| {
            dependents.get(&one.record.image_id).copied().unwrap_or_default() == 0
        };
        let Some(free) = waiting.iter().position(is_free).filter(|_| !fits) else {
            return Ok(chosen);
        };
        let one = waiting.remove(free);
        for needed in needs.0.get(&one.record.image_id).into_iter().flatten() {
            dependents.entry(needed).and_modify(|count| *count -= 1);
        }
        if let Some(space) = &mut space {
            space.without(one);
        }
        chosen.push(one);
    }
}

/// Which images each image depends on, itself left out.
struct Needs<'a>(HashMap<&'a ImageId, HashSet<&'a ImageId>>);

impl<'a> Needs<'a> {
    fn of(all: &'a [Candidate]) -> Self {
        let records = || all.iter().map(|one| &one.record);
        let needs = |one: &'a Candidate| {
            let id = &one.record.image_id;
            let dependencies = one.manifest.iter().flat_map(|manifest| &manifest.dependencies);
            let needed = dependencies.flat_map(|dependency| candidate(records(), dependency));
            (id, needed.filter(|needed| *needed != id).collect())
        };
        Self(all.iter().map(needs).collect())
    }
}

/// The images that stay for being among the preferred ones of their name.
fn last_of_each_name(all: &[Candidate], keep: usize) -> HashSet<&ImageId> {
    let mut names: HashMap<&str, Vec<&Record>> = HashMap::new();
    for one in all {
        names.entry(one.record.name.as_str()).or_default().push(&one.record);
    }
    let mut last = HashSet::new();
    for mut records in names.into_values() {
        records.sort_by(|one, other| preference(other, one));
        last.extend(records.into_iter().take(keep).map(|record| &record.image_id));
    }
    last
}

/// How much the store takes, and how much it would without some images.
struct Space {
    used: u64,
    contents: HashMap<ImageId, Vec<ContentDigest>>,
    /// Of each content: in how many images it is, and the bytes of its objects.
    objects: HashMap<ContentDigest, (u64, u64)>,
}

impl Space {
    fn of(store: &Store, all: &[Candidate]) -> Result<Self, StoreError> {
        let mut objects: HashMap<ContentDigest, (u64, u64)> = HashMap::new();
        let mut seen = HashSet::new();
        for (name, path) in object_files(store)? {
            let Ok(metadata) = path.metadata() else { continue };
            if seen.insert(metadata.ino()) {
                objects.entry(name.digest).or_default().1 += metadata.len();
            }
        }
        let mut used = objects.values().map(|(_, bytes)| bytes).sum();
        let mut contents = HashMap::new();
        for one in all {
            used += one.bytes;
            let found = contents_of(store, &one.record.image_id)?.unwrap_or_default();
            for digest in &found {
                objects.entry(*digest).or_default().0 += 1;
            }
            contents.insert(one.record.image_id.clone(), found.into_iter().collect());
        }
        Ok(Self { used, contents, objects })
    }

    fn without(&mut self, one: &Candidate) {
        self.used -= one.bytes.min(self.used);
        for digest in self.contents.remove(&one.record.image_id).unwrap_or_default() {
            if let Some((images, bytes)) = self.objects.get_mut(&digest) {
                *images -= 1;
                if *images == 0 {
                    self.used -= (*bytes).min(self.used);
                }
            }
        }
    }
}

/// The contents of an image's files; `None` where its index cannot be read.
fn contents_of(store: &Store, id: &ImageId) -> Result<Option<HashSet<ContentDigest>>, StoreError> {
    let mut found = HashSet::new();
    let Ok(file) = File::open(store.image_folder(id).join(INDEX_FILE)) else { return Ok(None) };
    let read = each_record(&file, |_, record| {
        if let IndexRecord::Entry(entry) = record {
            found.extend(entry.content.filter(|content| content.size > 0).map(|c| c.digest));
        }
    });
    Ok(read.is_ok().then_some(found))
}

/// The contents that any image has. An index that cannot be read names none: its image has
/// them itself. `None` where it has not, since it is folded.
pub(super) fn needed(
    store: &Store,
    gone: &HashSet<ImageId>,
) -> Result<Option<HashSet<ContentDigest>>, StoreError> {
    let mut needed = HashSet::new();
    for id in store.ids()?.iter().filter(|id| !gone.contains(id)) {
        match contents_of(store, id)? {
            Some(contents) => needed.extend(contents),
            None if is_folded(store, id) => return Ok(None),
            None => {}
        }
    }
    Ok(Some(needed))
}

/// All files of the object store that have a name of ours.
pub(super) fn object_files(store: &Store) -> Result<Vec<(ObjectName, PathBuf)>, StoreError> {
    let mut files = Vec::new();
    for shard in entries(&store.objects())? {
        let folder = store.objects().join(shard);
        for name in entries(&folder)? {
            files.extend(ObjectName::parse(&name).map(|parsed| (parsed, folder.join(name))));
        }
    }
    Ok(files)
}

/// Removes what no image needs, for who holds the lock of the objects alone.
fn sweep(
    store: &Store,
    gone: &HashSet<ImageId>,
    options: &GcOptions,
    collected: &mut Collected,
) -> Result<(), StoreError> {
    let mut links = Links::default();
    for tree in store.unused_trees(gone, options.grace, options.now)? {
        links.add_tree(&tree.folder());
        collected.trees += 1;
        if !options.dry_run {
            tree.remove()?;
        }
    }
    // A folded image with a damaged index: what it needs is not known.
    let needed = needed(store, gone)?;
    let files = if needed.is_some() { object_files(store)? } else { Vec::new() };
    let needed = needed.unwrap_or_default();
    for (name, path) in files {
        if needed.contains(&name.digest) {
            continue;
        }
        links.add(&path);
        collected.objects += 1;
        if !options.dry_run {
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    collected.freed_bytes += links.freed();
    Ok(())
}

/// Names that are removed, by file: its bytes are free when all of its names are gone.
#[derive(Default)]
struct Links(HashMap<(u64, u64), (u64, u64, u64)>);

impl Links {
    fn add(&mut self, path: &Path) {
        let Ok(metadata) = path.symlink_metadata() else { return };
        let file = (metadata.dev(), metadata.ino());
        let first = (0, metadata.nlink(), metadata.blocks() * 512);
        self.0.entry(file).or_insert(first).0 += 1;
    }

    fn add_tree(&mut self, folder: &Path) {
        let Ok(read) = fs::read_dir(folder) else { return };
        for entry in read.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add_tree(&entry.path());
            } else {
                self.add(&entry.path());
            }
        }
    }

    fn freed(&self) -> u64 {
        self.0
            .values()
            .filter(|(removed, names, _)| removed >= names)
            .map(|(.., bytes)| bytes)
            .sum()
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    read.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Removes a file that may be gone already.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match stage::remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(StoreError::io("remove", path)),
    }
}
