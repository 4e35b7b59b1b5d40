//! Images no honest tool writes, made header by header.

use std::io::{Read, Write};

/// A tar in which anything can be said.
#[derive(Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// The beginning of a sound image of this name and version.
    pub fn image(name: &str, version: &str) -> Self {
        Self::default().file("manifest", &manifest(name, version)).directory("rootfs")
    }

    pub fn entry(mut self, path: &str, kind: u8, target: &str, content: &[u8]) -> Self {
        self.0.extend_from_slice(&header(path, kind, target, content.len() as u64));
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// An entry without content, of this mode.
    pub fn entry_of_mode(mut self, path: &str, kind: u8, mode: u32) -> Self {
        let mut block = header(path, kind, "", 0);
        block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        self.0.extend_from_slice(&sealed(block));
        self
    }

    pub fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(path, b'0', "", content)
    }

    pub fn directory(self, path: &str) -> Self {
        self.entry(path, b'5', "", b"")
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, b'2', target, b"")
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(path, b'1', target, b"")
    }

    /// The archive, ended and not compressed.
    pub fn plain(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    /// The archive, ended and compressed.
    pub fn gzip(self) -> Vec<u8> {
        Self(self.plain()).gzip_without_end()
    }

    /// The archive, compressed as far as it goes.
    pub fn gzip_without_end(self) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&self.0).unwrap();
        encoder.finish().unwrap()
    }

    /// The archive with a file of this many zeros at its end, compressed as it is made.
    pub fn gzip_with_zeros(self, zeros: u64) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&self.0).unwrap();
        encoder.write_all(&header("rootfs/zeros", b'0', "", zeros)).unwrap();
        let rest = zeros.next_multiple_of(512) + 1024;
        std::io::copy(&mut std::io::repeat(0).take(rest), &mut encoder).unwrap();
        encoder.finish().unwrap()
    }
}

pub fn manifest(name: &str, version: &str) -> Vec<u8> {
    format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"{name}","labels":[{{"name":"version","value":"{version}"}}]}}"#
    )
    .into_bytes()
}

fn header(path: &str, kind: u8, target: &str, size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    sealed(block)
}

/// The header with the checksum it should have.
fn sealed(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
