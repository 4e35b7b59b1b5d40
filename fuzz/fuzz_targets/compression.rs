//! What a file begins with tells its compression, and nothing else does: more bytes do not change
//! the answer, the reader of images gives the same one, and what was compressed in any way is the
//! same image, but not when it was cut.
#![no_main]

use std::num::NonZeroUsize;

use aci::Limits;
use aci::archive::{
    ArchiveError, Compression, Entry, EntryKind, InspectedImage, WriteOptions, inspect,
    is_encrypted, write,
};
use libfuzzer_sys::fuzz_target;

const MANIFEST: &[u8] =
    br#"{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/fuzz"}"#;

fuzz_target!(|bytes: &[u8]| {
    let found = Compression::detect(bytes);
    for length in [4, 6, 263, 511, 512] {
        let begins = bytes.get(..length).and_then(Compression::detect);
        assert!(begins.is_none() || begins == found, "{length} bytes are {begins:?}");
    }
    let head = &bytes[..bytes.len().min(Compression::DETECT_BYTES)];
    assert_eq!(Compression::detect(head), found);
    match inspect(bytes, &limits()) {
        Ok(image) => assert_eq!(Some(image.compression()), found),
        Err(ArchiveError::UnknownFormat(_)) => assert_eq!(found, None),
        Err(ArchiveError::Encrypted) => assert!(found.is_none() && is_encrypted(head)),
        Err(_) => assert!(found.is_some()),
    }

    let [choice, cut, content @ ..] = bytes else { return };
    let compression = [
        Compression::None,
        Compression::Gzip,
        Compression::Bzip2,
        Compression::Xz,
        Compression::Zstd,
    ][usize::from(*choice) % 5];
    let (file, image) = made(compression, content);
    let (_, plain) = made(Compression::None, content);
    assert_eq!(Compression::detect(&file), Some(compression));
    assert_eq!(image.compression(), compression);
    assert_eq!(image.image_id(), plain.image_id());
    assert_eq!(image.tar_bytes(), plain.tar_bytes());
    let cut = file.len() * usize::from(*cut) / 256;
    assert!(inspect(&file[..cut], &limits()).is_err(), "{cut} of {} bytes", file.len());
});

/// No image of a few bytes is a bomb, however well they compress.
fn limits() -> Limits {
    Limits { tar_bytes: 4 << 20, ratio_floor: 4 << 20, ..Limits::default() }
}

/// An image with one file, and what reading it shows.
fn made(compression: Compression, content: &[u8]) -> (Vec<u8>, InspectedImage) {
    let options = WriteOptions { compression, threads: NonZeroUsize::MIN };
    let mut file = Vec::new();
    let written = write(&mut file, &options, |archive| {
        archive.manifest(MANIFEST, 0)?;
        archive.entry(&entry("rootfs", EntryKind::Directory))?;
        let kind = EntryKind::File { size: content.len() as u64 };
        archive.file(&entry("rootfs/file", kind), &mut &*content)?;
        Ok::<_, std::io::Error>(())
    })
    .expect("an image can be written");
    let image = inspect(file.as_slice(), &limits()).expect("what was written can be read");
    assert_eq!(image.image_id(), &written.image_id);
    assert_eq!(Some(image.file_digest()), written.file_digest.as_ref());
    assert_eq!((image.file_bytes(), image.tar_bytes()), (written.file_bytes, written.tar_bytes));
    (file, image)
}

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry { path: path.into(), kind, mode: 0o755, uid: 0, gid: 0, mtime: 1, xattrs: Vec::new() }
}
