//! Authors and the images they sign.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aci::archive::{self, Compression, Entry, EntryKind, WriteOptions, inspect};
use aci::push::Pushed;
use aci::{ImageManifest, Limits, Reference};
use keys::{Algorithm, Certificate, Fingerprint, GenerateOptions, Signer};

use super::world::World;

/// Somebody with a key.
pub(crate) struct Author {
    signer: Signer,
    pub(crate) certificate: Certificate,
    pub(crate) public: Vec<u8>,
}

impl Author {
    pub(crate) fn new(user_id: &str) -> Self {
        let now = SystemTime::now() - Duration::from_secs(3600);
        let generated = keys::generate(&GenerateOptions {
            user_id: user_id.to_owned(),
            algorithm: Algorithm::Ed25519,
            expires: None,
            passphrase: None,
            now,
        })
        .unwrap();
        let signer = Signer::open(&generated.secret, None, SystemTime::now()).unwrap();
        let certificate =
            Certificate::read_all(&generated.public, &Limits::default()).unwrap().remove(0);
        Self { signer, certificate, public: generated.public }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        *self.certificate.fingerprint()
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.signer.sign(bytes).unwrap()
    }
}

/// An image of this name and these labels, gzipped, with one file of `content`.
pub(crate) fn image(reference: &str, content: &[u8]) -> Vec<u8> {
    tar_image(reference, content, Compression::Gzip)
}

pub(crate) fn tar_image(reference: &str, content: &[u8], compression: Compression) -> Vec<u8> {
    let reference: Reference = reference.parse().unwrap();
    let manifest = ImageManifest::new(reference.name().clone(), reference.labels().clone());
    archive_of(&manifest, content, compression)
}

/// An image that needs others, each as the JSON of its dependency.
pub(crate) fn image_needing(reference: &str, needs: &[String]) -> Vec<u8> {
    let reference: Reference = reference.parse().unwrap();
    let manifest = ImageManifest::new(reference.name().clone(), reference.labels().clone());
    let mut json: serde_json::Value = serde_json::from_slice(&manifest.to_json().unwrap()).unwrap();
    json["dependencies"] =
        needs.iter().map(|need| serde_json::from_str::<serde_json::Value>(need).unwrap()).collect();
    let manifest = ImageManifest::from_json(json.to_string().as_bytes()).unwrap();
    archive_of(&manifest, b"x", Compression::Gzip)
}

/// Bytes that no compression makes fewer.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

fn archive_of(manifest: &ImageManifest, content: &[u8], compression: Compression) -> Vec<u8> {
    let manifest = manifest.to_json().unwrap();
    let entry = |path: &str, kind, mode| Entry {
        path: path.into(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
    };
    let options = WriteOptions { compression, threads: NonZeroUsize::MIN };
    let mut out = Vec::new();
    archive::write(&mut out, &options, |archive| {
        archive.manifest(&manifest, 0)?;
        archive.entry(&entry("rootfs", EntryKind::Directory, 0o755))?;
        let file = EntryKind::File { size: content.len() as u64 };
        archive.file(&entry("rootfs/file", file, 0o644), &mut &*content)
    })
    .map_err(|error: std::io::Error| error)
    .unwrap();
    out
}

/// An image and its author's signature.
pub(crate) fn signed(author: &Author, reference: &str, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let image = image(reference, content);
    let signature = author.sign(&image);
    (image, signature)
}

/// A signed image on disk and its signature, and what a registry says once it has taken it.
pub(crate) fn ready_to_push(world: &World, content: &[u8]) -> (PathBuf, PathBuf, Pushed) {
    let author = Author::new("team <team@example.com>");
    let (bytes, signature_bytes) = signed(&author, "example.com/team/hello:1.0.0", content);
    let image = world.folder.path().join("hello.aci");
    let signature = world.folder.path().join("hello.aci.asc");
    fs::write(&image, &bytes).unwrap();
    fs::write(&signature, signature_bytes).unwrap();
    let inspected = inspect(&bytes[..], &Limits::default()).unwrap();
    let pushed = Pushed {
        image_id: inspected.image_id().clone(),
        name: inspected.manifest().name.clone(),
        labels: inspected.manifest().labels.clone(),
        file_digest: inspected.file_digest().clone(),
        file_bytes: inspected.file_bytes(),
        signer: author.fingerprint().to_string(),
        created: true,
    };
    (image, signature, pushed)
}
