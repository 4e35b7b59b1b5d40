use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use aci::Name;
use aci::archive::{Compression, Entry, EntryKind, WriteOptions};
use serde_json::{Value, json};

use super::*;
use crate::store::{Origin, Store, Wanted};

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

/// Signs an image and imports it, as a fetch does.
pub(crate) fn import(store: &Store, image: &[u8]) -> StoredImage {
    use keys::{Algorithm, GenerateOptions, Keyring, Liveness, Policy, Scope, Signer};
    use std::io::Write;

    let now = SystemTime::now();
    let options = GenerateOptions {
        user_id: "Example CI <ci@example.com>".into(),
        algorithm: Algorithm::Ed25519,
        expires: None,
        passphrase: None,
        now,
    };
    let key = keys::generate(&options).unwrap();
    let signature = Signer::open(&key.secret, None, now).unwrap().sign(image).unwrap();
    let mut keyring = Keyring::default();
    keyring.push(key.certificate, Scope::Root);
    let policy = Policy::new(now, Liveness::AtSigning);
    let mut incoming = store.stage().unwrap();
    let limits = Limits::default();
    let verified =
        keys::receive(image, &mut incoming, &signature, &keyring, &policy, &limits).unwrap();
    incoming.flush().unwrap();
    let origin = Origin::File { path: "/test".into() };
    let imported = incoming.commit(&verified, &signature, origin, now).unwrap();
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
fn render_refuses_dependencies_and_extract_does_not() {
    let Setting { folder, store } = setting();
    let mut manifest = manifest("example.com/hello");
    manifest["dependencies"] = json!([{"imageName": "example.com/base"}]);
    manifest["pathWhitelist"] = json!(["/bin/hello"]);
    let image = import(&store, &archive(&manifest, PLAIN));
    let target = folder.path().join("target");
    let limits = Limits::default();
    let error = render(&image, &target, super::Files::Rendered, Shape::Image, &limits).unwrap_err();
    assert!(error.refusal().found.contains("example.com/base"), "{error}");
    assert!(!target.exists());
    render(&image, &target, super::Files::All, Shape::Image, &limits).unwrap();
    assert_eq!(names(&target.join("rootfs")), ["bin", "etc"]);
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
