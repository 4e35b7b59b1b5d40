//! Any bytes may be a database of packages: an image that has them is read without a panic, and
//! what is listed does not depend on whether its files are. The first byte says which database
//! they are.
#![no_main]

use std::io;
use std::num::NonZeroUsize;

use aci::Limits;
use aci::archive::{Compression, Entry, EntryKind, WriteOptions, write};
use builder::sbom::{Sbom, SbomLimits, SbomOptions};
use libfuzzer_sys::fuzz_target;

const MANIFEST: &[u8] =
    br#"{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/a"}"#;

const DATABASES: [&str; 6] = [
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/dpkg/info/a.list",
    "var/lib/dpkg/diversions",
    "usr/lib/os-release",
];

const STATUS: &[u8] = b"Package: a\nVersion: 1\n";

/// An image with this database, and with a package of dpkg where there would be none.
fn image(path: &str, content: &[u8]) -> io::Result<Vec<u8>> {
    let entry = |path: String, kind| {
        let (path, xattrs) = (path.as_str().into(), Vec::new());
        Entry { path, kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs }
    };
    let mut files = vec![(path, content)];
    if path != DATABASES[0] {
        files.push((DATABASES[0], STATUS));
    }
    files.sort_unstable();
    let mut folders: Vec<String> = Vec::new();
    let options = WriteOptions { compression: Compression::None, threads: NonZeroUsize::MIN };
    let mut image = Vec::new();
    write(&mut image, &options, |archive| {
        archive.manifest(MANIFEST, 0)?;
        archive.entry(&entry("rootfs".to_owned(), EntryKind::Directory))?;
        for (path, content) in files {
            for (end, _) in path.match_indices('/') {
                let folder = format!("rootfs/{}", &path[..end]);
                if !folders.contains(&folder) {
                    archive.entry(&entry(folder.clone(), EntryKind::Directory))?;
                    folders.push(folder);
                }
            }
            let kind = EntryKind::File { size: content.len() as u64 };
            archive.file(&entry(format!("rootfs/{path}"), kind), &mut &*content)?;
        }
        Ok::<(), io::Error>(())
    })?;
    Ok(image)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, content)) = bytes.split_first() else { return };
    let path = DATABASES[usize::from(*which) % DATABASES.len()];
    let image = image(path, content).expect("the entries are in order");
    let limits = SbomLimits { image: Limits::default(), packages: 100, ..SbomLimits::default() };
    let of = |files| {
        let options = SbomOptions { created: 0.try_into().expect("it is a time"), files };
        Sbom::of_image(image.as_slice(), &limits, &options).expect("the image is good")
    };
    let (with, without) = (of(true), of(false));
    assert_eq!(with.packages(), without.packages());
    let json = with.to_json().expect("it is JSON");
    let value: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    let packages = value["packages"].as_array().expect("there are packages");
    assert_eq!(packages.len(), with.packages() + 1);
});
