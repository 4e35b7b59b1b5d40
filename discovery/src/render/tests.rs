use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use aci::archive::{Compression, Entry, EntryKind, WriteOptions};
use aci::{Name, Refuse};
use keys::{Algorithm, GenerateOptions, Keyring, Liveness, Policy, Scope, Signer};
use serde_json::{Value, json};

use super::*;
use crate::Kind;
use crate::fetch::Trust;
use crate::store::{Origin, Rebuild, Store, StoreError, Wanted, fsck};

/// What an image of these tests holds: path, content (`None`: a folder), mode.
type Files<'a> = &'a [(&'a str, Option<&'a [u8]>, u32)];

pub(crate) const PLAIN: Files<'static> = &[
    ("rootfs", None, 0o755),
    ("rootfs/bin", None, 0o755),
    ("rootfs/bin/hello", Some(b"#!/bin/sh\n"), 0o755),
    ("rootfs/etc", None, 0o700),
    ("rootfs/etc/config", Some(b"text"), 0o640),
];

pub(crate) fn archive(manifest: &Value, files: Files<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let options = WriteOptions { compression: Compression::None, threads: NonZeroUsize::MIN };
    aci::archive::write(&mut out, &options, |archive| {
        archive.manifest(&serde_json::to_vec(manifest).unwrap(), 0)?;
        for (path, content, mode) in files {
            let kind = match content {
                None => EntryKind::Directory,
                Some(bytes) => EntryKind::File { size: bytes.len() as u64 },
            };
            let path = (*path).into();
            let entry = Entry { path, kind, mode: *mode, uid: 0, gid: 0, mtime: 1, xattrs: vec![] };
            archive.file(&entry, &mut content.unwrap_or_default())?;
        }
        Ok::<_, io::Error>(())
    })
    .unwrap();
    out
}

/// Somebody whose signature counts for every name, and what it is judged by.
pub(crate) fn author() -> (Signer, Keyring, Policy) {
    let now = SystemTime::now();
    let options = GenerateOptions {
        user_id: "Example CI <ci@example.com>".into(),
        algorithm: Algorithm::Ed25519,
        expires: None,
        passphrase: None,
        now,
    };
    let key = keys::generate(&options).unwrap();
    let signer = Signer::open(&key.secret, None, now).unwrap();
    let mut keyring = Keyring::default();
    keyring.push(key.certificate, Scope::Root);
    (signer, keyring, Policy::new(now, Liveness::AtSigning))
}

/// Signs an image and imports it, as a fetch does.
pub(crate) fn import(store: &Store, image: &[u8]) -> StoredImage {
    let (signer, keyring, policy) = author();
    let signature = signer.sign(image).unwrap();
    let mut incoming = store.stage().unwrap();
    let limits = Limits::default();
    let verified =
        keys::receive(image, &mut incoming, &signature, &keyring, &policy, &limits).unwrap();
    incoming.flush().unwrap();
    let origin = Origin::File { path: "/test".into() };
    let imported = incoming.commit(&verified, &signature, origin, policy.now).unwrap();
    store.open_image(&imported.record.image_id).unwrap().unwrap()
}

pub(crate) fn manifest(name: &str) -> Value {
    json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": name})
}

struct Setting {
    folder: tempfile::TempDir,
    store: Store,
}

fn setting() -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    Setting { folder, store }
}

fn names(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

#[test]
fn render_makes_the_whole_folder_or_nothing() {
    let Setting { folder, store } = setting();
    let image = import(&store, &archive(&manifest("example.com/hello"), PLAIN));
    let limits = Limits::default();
    let target = folder.path().join("new/target");
    let rendered = render(&image, &target, super::Files::Rendered, Shape::Image, &limits).unwrap();
    assert_eq!(rendered.manifest.name.as_str(), "example.com/hello");
    assert_eq!(names(&target), ["manifest", "rootfs"]);
    assert_eq!(names(folder.path().join("new").as_path()), ["target"]);
    let mode = |path: &str| fs::metadata(target.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("rootfs/bin/hello"), mode("rootfs/etc"), mode("rootfs/etc/config")),
        (0o755, 0o700, 0o640)
    );

    let image = store.open_image(&rendered.image_id).unwrap().unwrap();
    let error = render(&image, &target, super::Files::Rendered, Shape::Image, &limits).unwrap_err();
    assert!(matches!(error, RenderError::Occupied(_)), "{error}");
    assert_eq!(names(folder.path().join("new").as_path()), ["target"]);
}

#[test]
fn render_takes_the_place_of_an_empty_folder_only() {
    let Setting { folder, store } = setting();
    let image = import(&store, &archive(&manifest("example.com/hello"), PLAIN));
    let limits = Limits::default();
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    render(&image, &target, super::Files::Rendered, Shape::Rootfs, &limits).unwrap();
    assert_eq!(names(&target), ["bin", "etc"]);
    assert_eq!(names(folder.path()), ["store", "target"]);

    for make in [
        |path: &Path| fs::write(path, "x").unwrap(),
        |path: &Path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
        |path: &Path| fs::create_dir_all(path.join("full")).unwrap(),
    ] {
        let taken = folder.path().join("taken");
        make(&taken);
        let image = store.open_image(&image.record().image_id).unwrap().unwrap();
        for shape in [Shape::Image, Shape::Rootfs] {
            let error = render(&image, &taken, super::Files::All, shape, &limits).unwrap_err();
            assert!(matches!(error, RenderError::Occupied(_)), "{error}");
        }
        if fs::remove_file(&taken).is_err() {
            fs::remove_dir_all(&taken).unwrap();
        }
    }
    assert_eq!(names(folder.path()), ["store", "target"]);
}

#[test]
fn render_refuses_a_stored_file_that_was_changed() {
    let Setting { folder, store } = setting();
    let image = import(&store, &archive(&manifest("example.com/hello"), PLAIN));
    let id = image.record().image_id.clone();
    drop(image);
    let digits = id.digits();
    let file = store.root().join("images").join(&digits[..2]).join(digits).join("image.aci");
    let other = archive(&manifest("example.com/hello"), &PLAIN[..3]);
    fs::remove_file(&file).unwrap();
    fs::write(&file, other).unwrap();
    let image = store.open_image(&id).unwrap().unwrap();
    let target = folder.path().join("target");
    let limits = Limits::default();
    let error = render(&image, &target, super::Files::All, Shape::Image, &limits).unwrap_err();
    assert!(matches!(&error, RenderError::Altered { wanted, .. } if *wanted == id), "{error}");
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(names(folder.path()), ["store"]);
}

#[test]
fn render_names_what_is_missing_and_extract_does_not_need_it() {
    let Setting { folder, store } = setting();
    let mut manifest = manifest("example.com/hello");
    manifest["dependencies"] = json!([{"imageName": "example.com/base"}]);
    let image = import(&store, &archive(&manifest, PLAIN));
    let target = folder.path().join("target");
    let limits = Limits::default();
    let error = render(&image, &target, super::Files::Rendered, Shape::Image, &limits).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(error.refusal().next, "gantry fetch example.com/base");
    assert!(!target.exists());
    render(&image, &target, super::Files::All, Shape::Image, &limits).unwrap();
    assert_eq!(names(&target.join("rootfs")), ["bin", "etc"]);
}

#[test]
fn render_puts_dependencies_below_and_keeps_each_content_once() {
    let Setting { folder, store } = setting();
    let shared: Files<'_> = &[
        ("rootfs", None, 0o755),
        ("rootfs/etc", None, 0o711),
        ("rootfs/etc/config", Some(b"base"), 0o600),
        ("rootfs/etc/other", Some(b"text"), 0o644),
    ];
    drop(import(&store, &archive(&manifest("example.com/base"), shared)));
    let mut above = manifest("example.com/hello");
    above["dependencies"] = json!([{"imageName": "example.com/base"}]);
    let image = import(&store, &archive(&above, PLAIN));
    let limits = Limits::default();
    for (at, link) in [Link::Copy, Link::Auto, Link::Hard, Link::Copy].into_iter().enumerate() {
        let target = folder.path().join(format!("target-{at}"));
        let files = super::Files::Rendered;
        let rendered = render_linked(&image, &target, files, Shape::Rootfs, link, &limits).unwrap();
        assert_eq!(rendered.images.len(), 2);
        assert_eq!(rendered.images[1], rendered.image_id);
        assert_eq!(names(&target), ["bin", "etc"]);
        assert_eq!(names(&target.join("etc")), ["config", "other"]);
        let read = |path: &str| fs::read_to_string(target.join(path)).unwrap();
        assert_eq!((read("etc/config"), read("etc/other")), ("text".into(), "text".into()));
        let mode = |path: &str| fs::metadata(target.join(path)).unwrap().permissions().mode();
        assert_eq!(mode("etc/config") & 0o7777, 0o640);
        assert_eq!(mode("etc/other") & 0o7777, 0o644);
        assert_eq!(mode("etc") & 0o7777, 0o700, "the stronger image says what a folder is like");
    }
    // "text" is one content in two files; "base" is overridden and was never unpacked.
    let contents: Vec<_> = objects(&store).into_iter().filter(|name| name.len() == 64).collect();
    assert_eq!(contents.len(), 2, "{contents:?}");
}

/// The names of all objects.
fn objects(store: &Store) -> Vec<String> {
    let shards = names(&store.root().join("objects"));
    shards.iter().flat_map(|shard| names(&store.root().join("objects").join(shard))).collect()
}

#[test]
fn render_refuses_objects_and_indexes_that_were_changed() {
    let Setting { folder, store } = setting();
    let image = import(&store, &archive(&manifest("example.com/hello"), PLAIN));
    let limits = Limits::default();
    let files = super::Files::Rendered;
    let target = folder.path().join("target");
    render(&image, &target, files, Shape::Image, &limits).unwrap();
    for name in objects(&store) {
        let path = store.root().join("objects").join(&name[..2]).join(name);
        fs::write(path, "#!/bin/evil").unwrap();
    }
    for link in [Link::Copy, Link::Auto, Link::Hard] {
        let target = folder.path().join("other");
        let error = render_linked(&image, &target, files, Shape::Image, link, &limits).unwrap_err();
        assert!(matches!(error, RenderError::Store(StoreError::Object { .. })), "{error}");
        assert_eq!(error.kind(), Kind::Refused);
        assert!(!target.exists());
    }

    let id = image.record().image_id.clone();
    let index = store.root().join("images").join(&id.digits()[..2]).join(id.digits()).join("index");
    let mut bytes = fs::read(&index).unwrap();
    let at = bytes.windows(5).position(|five| five == b"hello").unwrap();
    bytes[at] = b'j';
    fs::write(&index, bytes).unwrap();
    let target = folder.path().join("other");
    let error = render(&image, &target, files, Shape::Image, &limits).unwrap_err();
    assert!(matches!(error, RenderError::Store(StoreError::Damaged { .. })), "{error}");
    assert!(!target.exists());

    // All of it can be made again.
    drop(image);
    let found = fsck(&store, None).unwrap();
    let codes: Vec<&str> = found.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes.iter().filter(|code| **code == "index-damaged").count(), 1, "{codes:?}");
    assert!(codes.contains(&"object-damaged") && !found.is_clean());
    let trust = Trust {
        keyring: std::sync::Arc::new(keys::Keyring::default()),
        policy: keys::Policy::new(SystemTime::now(), keys::Liveness::AtSigning),
    };
    let rebuild = Rebuild { trust: &trust, now: SystemTime::now() };
    assert!(fsck(&store, Some(rebuild)).unwrap().is_clean());
    assert!(fsck(&store, None).unwrap().findings.is_empty());
    let image = store.open_image(&id).unwrap().unwrap();
    render(&image, &target, files, Shape::Image, &limits).unwrap();
}

#[test]
fn render_reads_of_the_archive_only_what_is_new() {
    let Setting { folder, store } = setting();
    let image = import(&store, &archive(&manifest("example.com/hello"), PLAIN));
    let limits = Limits::default();
    let files = super::Files::Rendered;
    render(&image, &folder.path().join("first"), files, Shape::Image, &limits).unwrap();
    // With all contents at hand, the archive is not looked at.
    fs::write(store.image_folder(&image.record().image_id).join("image.aci"), b"gone").unwrap();
    render(&image, &folder.path().join("second"), files, Shape::Image, &limits).unwrap();
    let other = archive(
        &manifest("example.com/other"),
        &[PLAIN, &[("rootfs/new", Some(b"new"), 0o644)]].concat(),
    );
    let other = import(&store, &other);
    let target = folder.path().join("third");
    render(&other, &target, files, Shape::Rootfs, &limits).unwrap();
    assert_eq!(fs::read(target.join("new")).unwrap(), b"new");
    // Of a new file the archive must hold what the index says.
    let path = store.image_folder(&other.record().image_id).join("image.aci");
    let newest = import(
        &store,
        &archive(
            &manifest("example.com/newest"),
            &[("rootfs", None, 0o755), ("rootfs/newest", Some(b"newest"), 0o644)],
        ),
    );
    fs::write(path.parent().unwrap().join("image.aci"), b"x").unwrap();
    let path = store.image_folder(&newest.record().image_id).join("image.aci");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(6).rposition(|six| six == b"newest").unwrap();
    bytes[at] = b'N';
    fs::write(&path, bytes).unwrap();
    let newest = store.open_image(&newest.record().image_id).unwrap().unwrap();
    let target = folder.path().join("fourth");
    let error = render(&newest, &target, files, Shape::Rootfs, &limits).unwrap_err();
    assert!(matches!(error, RenderError::Store(StoreError::Damaged { .. })), "{error}");
    assert!(!target.exists());
}

#[test]
fn render_honours_the_path_whitelist() {
    let Setting { folder, store } = setting();
    let mut manifest = manifest("example.com/hello");
    manifest["pathWhitelist"] = json!(["/bin/hello"]);
    let image = import(&store, &archive(&manifest, PLAIN));
    let target = folder.path().join("target");
    let rendered =
        render(&image, &target, super::Files::Rendered, Shape::Image, &Limits::default()).unwrap();
    assert_eq!(names(&target.join("rootfs")), ["bin"]);
    assert!(rendered.remarks.iter().any(|r| r.starts_with("2 files and folders")), "{rendered:?}");
}

#[test]
fn bundle_of_a_stored_image_is_the_callers_alone() {
    let Setting { folder, store } = setting();
    let mut manifest = manifest("example.com/hello");
    manifest["app"] = json!({"exec": ["/bin/hello"], "user": "0", "group": "0"});
    let image = import(&store, &archive(&manifest, PLAIN));
    let target = folder.path().join("target");
    let options = BundleOptions::default();
    let (rendered, bundle) =
        render_bundle(&image, &target, &options, &Host::root(), &Limits::default()).unwrap();
    assert_eq!(names(&target), ["config.json", "manifest", "rootfs"]);
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(bundle.program(), "/bin/hello");
    let name: Name = "example.com/hello".parse().unwrap();
    assert_eq!(rendered.manifest.name, name);
    let wanted: Wanted = "example.com/hello".parse().unwrap();
    assert_eq!(store.find(&wanted).unwrap(), rendered.image_id);

    // A bundle that cannot be made leaves nothing.
    let image = store.open_image(&rendered.image_id).unwrap().unwrap();
    let mut options = options;
    options.changes.exec = Some("/bin/none".into());
    let target = folder.path().join("other");
    let error = render_bundle(&image, &target, &options, &Host::root(), &Limits::default());
    assert!(matches!(error, Err(RenderError::Bundle(_))));
    assert_eq!(names(folder.path()), ["store", "target"]);
}
