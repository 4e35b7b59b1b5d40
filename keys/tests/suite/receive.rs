//! Images taken in: written, inspected and verified in one pass.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use aci::archive::{Compression, Entry, EntryKind, WriteOptions};
use aci::{ImageId, Limits};
use keys::{Keyring, Liveness, Policy, ReceiveError, Scope, VerifiedImage};

use crate::support::*;

const NAME: &str = "example.com/team/hello";

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry { path: path.into(), kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new() }
}

/// An image with one file of `content`.
pub(crate) fn image(name: &str, content: &[u8], compression: Compression) -> (Vec<u8>, ImageId) {
    let manifest = format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"{name}","labels":[{{"name":"version","value":"1.0.0"}}]}}"#
    );
    let mut file = Vec::new();
    let options = WriteOptions { compression, threads: NonZeroUsize::MIN };
    let written = aci::archive::write(&mut file, &options, |archive| {
        archive.manifest(manifest.as_bytes(), 0)?;
        archive.entry(&entry("rootfs", EntryKind::Directory))?;
        let size = content.len() as u64;
        archive.file(&entry("rootfs/file", EntryKind::File { size }), &mut &content[..])
    });
    let written = written.map_err(|error: io::Error| error).unwrap();
    (file, written.image_id)
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let step = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..length).map(step).collect()
}

fn keyring() -> Keyring {
    let mut keyring = Keyring::default();
    keyring.push(ED25519.certificate.clone(), Scope::Prefix("example.com/team".parse().unwrap()));
    keyring
}

fn receive(
    file: impl Read,
    sink: impl Write,
    signature: &[u8],
    limits: &Limits,
) -> Result<VerifiedImage, ReceiveError> {
    let policy = Policy::new(day(2), Liveness::AtSigning);
    keys::receive(file, sink, signature, &keyring(), &policy, limits)
}

#[test]
fn receive_writes_inspects_and_verifies() {
    for (compression, length) in [
        (Compression::Gzip, 10),
        (Compression::None, 300_000),
        (Compression::Gzip, 5_000_000),
        (Compression::Xz, 100),
        (Compression::Zstd, 100),
        (Compression::Bzip2, 100),
    ] {
        let (file, image_id) = image(NAME, &noise(length), compression);
        let signature = sign(&ED25519, &file, day(1));
        let mut sink = Vec::new();
        let image = receive(&file[..], &mut sink, &signature, &limits()).unwrap();
        assert_eq!(sink, file);
        assert_eq!(*image.inspected().image_id(), image_id);
        assert_eq!(image.inspected().manifest().name.as_str(), NAME);
        assert_eq!(image.inspected().file_bytes(), file.len() as u64);
        assert_eq!(*image.signature().signer(), ED25519.fingerprint);
    }
}

#[test]
fn signature_over_the_uncompressed_archive_is_refused() {
    let (packed, id) = image(NAME, b"content", Compression::Gzip);
    let (plain, same) = image(NAME, b"content", Compression::None);
    assert_eq!(id, same, "they are one image");
    let judge = |file: &[u8], signed: &[u8]| {
        receive(file, io::sink(), &sign(&ED25519, signed, day(1)), &Limits::default())
    };
    judge(&packed, &packed).unwrap();
    judge(&plain, &plain).unwrap();
    let error = judge(&packed, &plain).unwrap_err();
    assert_eq!(aci::Refuse::refusal(&error).code, "signature-invalid");
    let error = judge(&plain, &packed).unwrap_err();
    assert_eq!(aci::Refuse::refusal(&error).code, "signature-invalid");
}

#[test]
fn receive_refuses_every_flipped_byte() {
    for compression in [Compression::None, Compression::Gzip] {
        let (file, _) = image(NAME, b"content", compression);
        let signature = sign(&ED25519, &file, day(1));
        let mut flipped = file.clone();
        // A bit of every byte; of a plain tar, which is mostly zeros, of every seventh.
        for at in (0..file.len()).step_by(if compression == Compression::None { 7 } else { 1 }) {
            let bit = 1 << (at % 8);
            flipped[at] ^= bit;
            let result = receive(&flipped[..], io::sink(), &signature, &limits());
            assert_eq!(code(result), "signature-invalid", "byte {at}");
            flipped[at] ^= bit;
        }
        for length in [0, 1, file.len() / 2, file.len() - 1] {
            let result = receive(&file[..length], io::sink(), &signature, &limits());
            assert_eq!(code(result), "signature-invalid", "cut off at {length}");
        }
    }
}

#[test]
fn receive_names_the_archive_under_a_good_signature() {
    let file = b"this is no archive at all";
    let result = receive(&file[..], io::sink(), &sign(&ED25519, file, day(1)), &limits());
    assert!(matches!(result, Err(ReceiveError::Archive(_))), "{result:?}");
    assert!(code(result).starts_with("image-"));
}

#[test]
fn receive_trusts_the_name_inside_the_image() {
    let result = |name: &str| {
        let (file, _) = image(name, b"content", Compression::Gzip);
        receive(&file[..], io::sink(), &sign(&ED25519, &file, day(1)), &limits())
    };
    result("example.com/team").unwrap();
    for name in ["example.com/teamster", "example.com", "example.org/team"] {
        assert_eq!(code(result(name)), "signer-wrong-prefix", "{name}");
    }
}

#[test]
fn receive_takes_the_signature_that_speaks_for_the_name() {
    let (file, _) = image(NAME, b"content", Compression::Gzip);
    let mut keyring = keyring();
    keyring.push(OTHER.certificate.clone(), Scope::Prefix("example.org".parse().unwrap()));
    let both = [sign(&OTHER, &file, day(1)), sign(&ED25519, &file, day(1))].concat();
    let policy = Policy::new(day(2), Liveness::AtSigning);
    let image = keys::receive(&file[..], io::sink(), &both, &keyring, &policy, &limits()).unwrap();
    assert_eq!(*image.signature().signer(), ED25519.fingerprint);
}

/// Counts what is read, and never ends.
struct Endless<'a> {
    head: &'a [u8],
    read: u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = if self.head.is_empty() {
            buffer.fill(b'x');
            buffer.len()
        } else {
            self.head.read(buffer)?
        };
        self.read += length as u64;
        Ok(length)
    }
}

#[test]
fn receive_reads_nothing_for_a_signer_nobody_trusts() {
    let mut file = Endless { head: &[], read: 0 };
    let result = receive(&mut file, io::sink(), &sign(&OTHER, DATA, day(1)), &limits());
    assert_eq!(code(result), "signer-not-trusted");
    assert_eq!(file.read, 0);
}

#[test]
fn receive_stops_soon_after_the_inspection_has_given_up() {
    let signature = sign(&ED25519, DATA, day(1));
    let mut file = Endless { head: b"no archive", read: 0 };
    let result = receive(&mut file, io::sink(), &signature, &limits());
    assert!(matches!(result, Err(ReceiveError::Archive(_))), "{result:?}");
    assert!(file.read < 16 << 20, "{} bytes read", file.read);

    let (bomb, _) = image(NAME, &vec![0; 80 << 20], Compression::Gzip);
    let mut tight = limits();
    tight.ratio_floor = 1 << 20;
    let mut file = Endless { head: &bomb, read: 0 };
    assert_eq!(code(receive(&mut file, io::sink(), &signature, &tight)), "image-bomb");
}

#[test]
fn receive_keeps_to_the_limit_of_the_file() {
    let (file, _) = image(NAME, &noise(100_000), Compression::None);
    let mut tight = limits();
    tight.file_bytes = file.len() as u64 - 1;
    let result = receive(&file[..], io::sink(), &sign(&ED25519, &file, day(1)), &tight);
    assert!(matches!(result, Err(ReceiveError::Archive(_))), "{result:?}");
    tight.file_bytes += 1;
    receive(&file[..], io::sink(), &sign(&ED25519, &file, day(1)), &tight).unwrap();
}

/// Works for a while, then fails.
struct Failing(usize);

impl Failing {
    fn step(&mut self, length: usize) -> io::Result<usize> {
        let length = length.min(self.0);
        self.0 -= length;
        if length == 0 { Err(io::Error::other("no more")) } else { Ok(length) }
    }
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.step(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.step(buffer.len())
    }
}

#[test]
fn receive_tells_reading_from_writing() {
    let (file, _) = image(NAME, &noise(1_000_000), Compression::None);
    let signature = sign(&ED25519, &file, day(1));
    for room in [0, 10, 500_000] {
        let result = receive(&file[..], Failing(room), &signature, &limits());
        assert!(matches!(result, Err(ReceiveError::Write(_))), "{result:?}");
        let short = (&file[..room]).chain(Failing(0));
        let result = receive(short, io::sink(), &signature, &limits());
        assert!(matches!(result, Err(ReceiveError::Read(_))), "{result:?}");
    }
}
