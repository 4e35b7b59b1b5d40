use std::collections::HashSet;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aci::archive::{Compression, Entry, EntryKind, WriteOptions};
use aci::{ContentHash, ImageId, Limits};
use jiff::Timestamp;
use keys::{Keyring, Policy, ReceiveError, Signer};
use serde_json::json;

use super::*;
use crate::render::tests::author;
use crate::render::{Files, Link, Shape, render_linked};
use crate::store::{GcOptions, Imported, Incoming, Origin, collect, fsck};

/// Larger than what is read at a time, and no multiple of it.
const LARGE: usize = (1 << 20) + 77;

/// Paths and contents of an image's files.
type Contents = Vec<(String, Vec<u8>)>;

/// What undoes a change to a store.
type Undo = Box<dyn FnOnce()>;

fn noise(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect()
}

/// Nine files that all images have; more follow.
fn shared() -> Contents {
    let file = |at: u8| (format!("rootfs/a{at}"), noise(at, 3000));
    let mut files: Contents = (1..9).map(file).collect();
    files.push(("rootfs/b".to_owned(), noise(9, LARGE)));
    files
}

fn with(mut files: Contents, more: &[(&str, &[u8])]) -> Contents {
    files.extend(more.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())));
    files
}

fn archive(files: &Contents) -> Vec<u8> {
    let mut out = Vec::new();
    let options = WriteOptions { compression: Compression::Gzip, threads: NonZeroUsize::MIN };
    let manifest =
        json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/a"});
    let entry = |path: &str, kind, mode| {
        let path = path.into();
        Entry { path, kind, mode, uid: 0, gid: 0, mtime: 1, xattrs: vec![] }
    };
    aci::archive::write(&mut out, &options, |archive| {
        archive.manifest(&serde_json::to_vec(&manifest).unwrap(), 0)?;
        archive.file(&entry("rootfs", EntryKind::Directory, 0o755), &mut io::empty())?;
        files.iter().try_for_each(|(path, content)| {
            let kind = EntryKind::File { size: content.len() as u64 };
            archive.file(&entry(path, kind, 0o644), &mut &content[..])
        })
    })
    .map_err(|error: io::Error| error)
    .unwrap();
    out
}

fn names(folder: &Path) -> Vec<String> {
    let read = fs::read_dir(folder).into_iter().flatten();
    let mut all: Vec<String> =
        read.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

fn digits(content: &[u8]) -> String {
    let mut hash = ContentHash::default();
    hash.update(content);
    hash.finish().digits()
}

fn digits_of(contents: &[&[u8]]) -> HashSet<String> {
    contents.iter().map(|content| digits(content)).collect()
}

struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    signer: Signer,
    keyring: Keyring,
    policy: Policy,
}

impl Scene {
    fn new() -> Self {
        let (signer, keyring, policy) = author();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        Self { folder, store, signer, keyring, policy }
    }

    /// A store in which an image of the shared files was rendered.
    fn rendered() -> Self {
        let scene = Self::new();
        let first = scene.fetch(&with(shared(), &[("rootfs/own", b"own")]));
        scene.render(&first, "first");
        assert_eq!(scene.contents().len(), 10);
        scene
    }

    fn sign(&self, image: &[u8]) -> Vec<u8> {
        self.signer.sign(image).unwrap()
    }

    fn receive(
        &self,
        incoming: &mut Incoming,
        image: &[u8],
        signature: &[u8],
    ) -> Result<keys::VerifiedImage, ReceiveError> {
        let limits = Limits::default();
        incoming.receive(image, signature, &self.keyring, &self.policy, &limits)
    }

    fn commit(
        &self,
        incoming: Incoming,
        verified: &keys::VerifiedImage,
        signature: &[u8],
    ) -> Imported {
        let origin = Origin::File { path: "/test".into() };
        incoming.commit(verified, signature, origin, self.policy.now).unwrap()
    }

    fn fetch(&self, files: &Contents) -> ImageId {
        let image = archive(files);
        let (mut incoming, signature) = (self.store.stage().unwrap(), self.sign(&image));
        let verified = self.receive(&mut incoming, &image, &signature).unwrap();
        self.commit(incoming, &verified, &signature).record.image_id
    }

    fn render(&self, id: &ImageId, target: &str) -> PathBuf {
        let target = self.folder.path().join(target);
        let image = self.store.open_image(id).unwrap().unwrap();
        let (files, limits) = (Files::Rendered, Limits::default());
        render_linked(&image, &target, files, Shape::Rootfs, Link::Hard, &limits).unwrap();
        target
    }

    /// The objects that have no properties in their names.
    fn contents(&self) -> HashSet<String> {
        let objects = self.store.objects();
        let all = names(&objects).into_iter().flat_map(|shard| names(&objects.join(shard)));
        all.filter(|name| name.len() == 64).collect()
    }

    fn staged(&self) -> Vec<String> {
        names(&self.store.staging())
    }

    #[track_caller]
    fn clean(&self) {
        let found = fsck(&self.store, None).unwrap();
        assert!(found.findings.is_empty() && found.unused_objects == 0, "{found:?}");
        assert!(self.staged().is_empty(), "{:?}", self.staged());
    }
}

#[test]
fn second_version_is_rendered_without_its_archive() {
    let scene = Scene::rendered();
    let before = scene.contents();
    let large = noise(77, LARGE);
    let new: &[(&str, &[u8])] = &[
        ("rootfs/c", &large),
        ("rootfs/d", b"new"),
        ("rootfs/e", b"new"),
        ("rootfs/f", b""),
        ("rootfs/g", b"own"),
    ];
    let files = with(shared(), new);
    let second = scene.fetch(&files);
    let after = scene.contents();
    assert_eq!(&after - &before, digits_of(&[&large, b"new"]));
    let object = scene.store.object(&digits(&large));
    assert!(fs::read(&object).unwrap() == large);
    assert_eq!(object.metadata().unwrap().nlink(), 1);
    scene.clean();

    // Its archive is gone, and is not missed.
    fs::write(scene.store.image_folder(&second).join("image.aci"), b"gone").unwrap();
    let target = scene.render(&second, "second");
    for (path, content) in &files {
        let found = fs::read(target.join(path.strip_prefix("rootfs/").unwrap())).unwrap();
        assert!(found == *content, "{path}");
    }
    assert_eq!(scene.contents(), after);
}

#[test]
fn gc_keeps_what_was_written_as_long_as_its_image_is_there() {
    let scene = Scene::rendered();
    let second = scene.fetch(&with(shared(), &[("rootfs/c", b"new")]));
    let gc = || {
        let now = Timestamp::try_from(scene.policy.now).unwrap();
        let (grace, keep_last) = (Duration::from_secs(60), 2);
        let options = GcOptions { grace, keep_last, budget: None, dry_run: false, now };
        collect(&scene.store, &options).unwrap().objects
    };
    assert_eq!(gc(), 0);
    assert!(scene.contents().contains(&digits(b"new")));
    scene.store.remove(&second).unwrap();
    assert_eq!(gc(), 1);
    assert!(!scene.contents().contains(&digits(b"new")));
    scene.clean();
}

#[test]
fn nothing_is_written_without_objects_or_of_an_image_that_shares_little() {
    let scene = Scene::new();
    for files in [shared(), with(shared(), &[("rootfs/c", b"new")])] {
        scene.fetch(&files);
    }
    assert!(!scene.store.objects().exists());
    scene.clean();

    let scene = Scene::rendered();
    let before = scene.contents();
    // Never are more shared than are new.
    let own = |at: usize| (format!("rootfs/{at}"), noise(100 + at as u8, LARGE));
    let half: Contents =
        shared().into_iter().enumerate().flat_map(|(at, file)| [own(at), file]).collect();
    let image = archive(&half);
    let (mut incoming, signature) = (scene.store.stage().unwrap(), scene.sign(&image));
    let verified = scene.receive(&mut incoming, &image, &signature).unwrap();
    // Nor is a place made for what is not written.
    assert_eq!(scene.staged().len(), 1);
    scene.commit(incoming, &verified, &signature);
    assert_eq!(scene.contents(), before);
    scene.clean();
}

#[test]
fn what_is_too_large_is_left_in_the_archive() {
    let scene = Scene::rendered();
    let before = scene.contents();
    let (most, more) = (noise(77, LARGEST), noise(78, LARGEST + (128 << 10)));
    let files = with(shared(), &[("rootfs/c", &more), ("rootfs/d", &most), ("rootfs/e", b"new")]);
    let second = scene.fetch(&files);
    assert_eq!(&scene.contents() - &before, digits_of(&[&most, b"new"]));
    let target = scene.render(&second, "second");
    assert!(fs::read(target.join("c")).unwrap() == more);
    scene.clean();
}

#[test]
fn refused_image_leaves_no_object() {
    let scene = Scene::rendered();
    let before = scene.contents();
    let image = archive(&with(shared(), &[("rootfs/c", b"new"), ("rootfs/d", b"newer")]));
    let cut = &image[..image.len() - 9];
    let strangers = Scene::new().sign(&image);
    for (image, signature) in [(&image[..], strangers), (cut, scene.sign(cut))] {
        let mut incoming = scene.store.stage().unwrap();
        scene.receive(&mut incoming, image, &signature).unwrap_err();
        assert_eq!(scene.staged().len(), 1);
        drop(incoming);
        assert_eq!(scene.contents(), before);
        scene.clean();
    }
}

#[test]
fn image_that_is_received_again_begins_anew() {
    let scene = Scene::rendered();
    let before = scene.contents();
    let new = with(shared(), &[("rootfs/c", b"new")]);
    let (one, other) = (archive(&new), archive(&with(shared(), &[("rootfs/c", b"other")])));
    let signature = scene.sign(&one);
    let mut incoming = scene.store.stage().unwrap();
    scene.receive(&mut incoming, &one, &signature).unwrap();
    for image in [&other, &one] {
        incoming.rewind(u64::MAX);
        scene.receive(&mut incoming, image, &scene.sign(image)).unwrap();
        assert_eq!(scene.staged().len(), 2, "one for the image, one for its objects");
    }
    incoming.rewind(u64::MAX);
    let verified = scene.receive(&mut incoming, &one, &signature).unwrap();
    scene.commit(incoming, &verified, &signature);
    assert_eq!(&scene.contents() - &before, digits_of(&[b"new"]));
    scene.clean();

    // Nor is anything left of an image that is there already.
    fs::remove_file(scene.store.object(&digits(b"new"))).unwrap();
    assert_eq!(scene.fetch(&new), *verified.inspected().image_id());
    assert_eq!(scene.contents(), before);
    scene.clean();
}

/// Fetches an image with something in the way of its objects, while it is received or while it is
/// committed. The image is there all the same, and no object is.
fn fetch_past(receiving: impl FnOnce(&Store) -> Undo, committing: impl FnOnce(&Store) -> Undo) {
    let scene = Scene::rendered();
    let before = scene.contents();
    let large = noise(77, LARGE);
    let image = archive(&with(shared(), &[("rootfs/c", b"new"), ("rootfs/d", &large)]));
    let (mut incoming, signature) = (scene.store.stage().unwrap(), scene.sign(&image));
    let undo = receiving(&scene.store);
    let verified = scene.receive(&mut incoming, &image, &signature).unwrap();
    undo();
    let undo = committing(&scene.store);
    let imported = scene.commit(incoming, &verified, &signature);
    undo();
    assert!(imported.new);
    assert_eq!(scene.contents(), before);
    scene.clean();
    let target = scene.render(&imported.record.image_id, "second");
    assert_eq!(fs::read(target.join("c")).unwrap(), b"new");
}

/// Puts a file in the place of a folder.
fn obstruct(folder: PathBuf) -> Undo {
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, b"").unwrap();
    Box::new(move || {
        fs::remove_file(&folder).unwrap();
        fs::rename(&aside, &folder).unwrap();
    })
}

#[test]
fn failure_to_write_objects_is_none_of_the_fetch() {
    let nothing = |_: &Store| Box::new(|| ()) as Undo;
    fetch_past(|store| obstruct(store.staging()), nothing);
    fetch_past(nothing, |store| obstruct(store.objects()));
    // Who removes objects is not waited for.
    fetch_past(nothing, |store| {
        let lock = store.named_lock(OBJECTS_LOCK, Hold::Exclusive).unwrap();
        Box::new(move || drop(lock))
    });
}

#[test]
fn lack_of_room_drops_what_was_taken() {
    let scene = Scene::rendered();
    let show = |arriving: &mut Arriving, bytes: &[u8]| {
        bytes.chunks(64 << 10).for_each(|piece| arriving.piece(piece));
        let mut hash = ContentHash::default();
        hash.update(bytes);
        let (size, digest) = (bytes.len() as u64, hash.finish());
        arriving.end(&ContentAt { offset: 0, size, digest });
    };
    for (room, fits) in [(LARGE + 3, true), (LARGE + 2, false)] {
        let mut arriving = Arriving::begin(&scene.store);
        arriving.0.as_mut().unwrap().room = room as u64;
        // What is there already takes no room.
        shared().iter().chain(&shared()).for_each(|(_, bytes)| show(&mut arriving, bytes));
        show(&mut arriving, &noise(77, LARGE));
        show(&mut arriving, b"new");
        assert_eq!(arriving.0.is_some(), fits);
        assert_eq!(scene.staged().len(), usize::from(fits));
    }
    assert!(scene.staged().is_empty());
}

/// What is below a store is found however the store was named.
#[test]
fn store_of_a_relative_path_is_rendered_from() {
    let folder = tempfile::tempdir().unwrap();
    let up =
        std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect::<PathBuf>();
    let relative = up.join(folder.path().strip_prefix("/").unwrap()).join("store");
    assert!(relative.is_relative());
    let scene = Scene { store: Store::open(relative).unwrap(), folder, ..Scene::new() };
    let first = scene.fetch(&with(shared(), &[("rootfs/own", b"own")]));
    for target in ["first", "again"] {
        let target = scene.render(&first, target);
        assert_eq!(fs::read(target.join("own")).unwrap(), b"own");
    }
    scene.clean();
}
