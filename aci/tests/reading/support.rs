//! Archives made header by header, read and unpacked by the crate, and the real tools.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use aci::archive::{InspectedImage, Ownership, UnpackOptions, Unpacked, inspect, unpack};
use aci::{Limits, Refuse};

pub(crate) const MANIFEST: &[u8] =
    br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;

pub(crate) type Block = [u8; 512];

/// One header of POSIX's form with a right checksum.
pub(crate) fn header(name: &[u8], kind: u8, size: u64, link: &[u8]) -> Block {
    let mut block = [0; 512];
    put(&mut block, 0, name);
    put(&mut block, 100, b"0000755\x000000000\x000000000\0");
    put(&mut block, 124, format!("{size:011o}").as_bytes());
    put(&mut block, 136, b"00000000001");
    block[156] = kind;
    put(&mut block, 157, link);
    put(&mut block, 257, b"ustar\x0000");
    sealed(block)
}

pub(crate) fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The header with the checksum it should have.
pub(crate) fn sealed(mut block: Block) -> Block {
    put(&mut block, 148, b"        ");
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A header changed in one place, its checksum made right again.
pub(crate) fn changed(mut block: Block, at: usize, bytes: &[u8]) -> Block {
    put(&mut block, at, bytes);
    sealed(block)
}

/// A tar in which anything can be said.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

/// The beginning of a sound image.
pub(crate) fn image() -> Tar {
    Tar::default().file("manifest", MANIFEST).directory("rootfs")
}

/// The rest of a sound image, after this manifest.
pub(crate) fn image_of(manifest: &[u8]) -> Vec<u8> {
    Tar::default().file("manifest", manifest).directory("rootfs").end()
}

impl Tar {
    pub(crate) fn block(mut self, block: Block) -> Self {
        self.0.extend_from_slice(&block);
        self
    }

    pub(crate) fn content(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn entry(self, name: &str, kind: u8, bytes: &[u8]) -> Self {
        self.block(header(name.as_bytes(), kind, bytes.len() as u64, b"")).content(bytes)
    }

    pub(crate) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(name, b'0', bytes)
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.entry(name, b'5', b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.block(header(name.as_bytes(), b'2', 0, target.as_bytes()))
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.block(header(name.as_bytes(), b'1', 0, target.as_bytes()))
    }

    pub(crate) fn device(self, name: &str, kind: u8, major: u32, minor: u32) -> Self {
        let mut block = header(name.as_bytes(), kind, 0, b"");
        put(&mut block, 329, format!("{major:07o}\0{minor:07o}\0").as_bytes());
        self.block(sealed(block))
    }

    /// A POSIX extended header of these very bytes.
    pub(crate) fn extended(self, records: &[u8]) -> Self {
        self.entry("PaxHeaders.0/1", b'x', records)
    }

    /// A POSIX extended header of these records, their lengths made right.
    pub(crate) fn records(self, records: &[(&str, &[u8])]) -> Self {
        let all: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.extended(&all)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// `LENGTH KEY=VALUE\n`.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|all| rest + all.to_string().len() == *all).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder of its own, with the folder to unpack into, and nothing else, in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("target")).unwrap();
        Self { folder }
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn rootfs(&self, below: &str) -> PathBuf {
        self.target().join("rootfs").join(below)
    }

    /// Unpacks as `ownership` says, within the usual limits.
    pub(crate) fn unpack(
        &self,
        bytes: &[u8],
        ownership: Ownership,
    ) -> Result<Unpacked, aci::archive::ArchiveError> {
        unpack(bytes, &self.target(), &UnpackOptions::new(ownership), &Limits::default())
    }

    /// Nothing was written beside the target.
    #[track_caller]
    pub(crate) fn assert_alone(&self) {
        let names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["target"]);
    }
}

/// Both inspecting and unpacking refuse it with this code and the same words, and nothing
/// is written anywhere but in the target.
#[track_caller]
pub(crate) fn refused(bytes: &[u8], code: &str) {
    refused_within(bytes, &Limits::default(), code);
}

#[track_caller]
pub(crate) fn refused_within(bytes: &[u8], limits: &Limits, code: &str) {
    let place = Place::new();
    let one = inspect(bytes, limits).map(|_| ()).expect_err("inspecting accepted it");
    let options = UnpackOptions::new(Ownership::Caller);
    let other = unpack(bytes, &place.target(), &options, limits).map(|_| ());
    let other = other.expect_err("unpacking accepted it");
    assert_eq!(one.to_string(), other.to_string());
    let refusal = one.refusal();
    assert_eq!(refusal.code, code, "{one}");
    for text in [&refusal.wanted, &refusal.found, &refusal.rule, &refusal.next] {
        assert!(!text.is_empty(), "{refusal:?}");
    }
    place.assert_alone();
}

/// Inspecting and unpacking accept it, and agree; the unpacked tree is given.
#[track_caller]
pub(crate) fn accepted(bytes: &[u8]) -> (InspectedImage, Place) {
    let place = Place::new();
    let image = inspect(bytes, &Limits::default()).expect("inspecting refused it");
    let unpacked = place.unpack(bytes, Ownership::Caller).expect("unpacking refused it");
    assert_eq!(unpacked.image.image_id(), image.image_id());
    place.assert_alone();
    (image, place)
}

/// Whether a tool is there; says so where it is not, for less is proved then.
pub(crate) fn tool(name: &str) -> bool {
    let there = Command::new(name).arg("--help").output().is_ok();
    if !there {
        println!("skipped: {name} is not installed; scripts/setup.sh test installs it");
    }
    there
}

/// Whether `actool validate` accepts the file; `None` where there is no actool.
pub(crate) fn actool_accepts(bytes: &[u8]) -> Option<bool> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.aci");
    fs::write(&file, bytes).unwrap();
    tool("actool").then(|| {
        Command::new("actool").arg("validate").arg(&file).output().unwrap().status.success()
    })
}

/// Runs a line of shell in a folder; it must succeed.
#[track_caller]
pub(crate) fn shell(folder: &Path, line: &str) {
    let output = Command::new("/bin/sh").args(["-ec", line]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
