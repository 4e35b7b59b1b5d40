//! Images in one file, for machines that have no network between them.
//!
//! ```text
//! x.gantry                      a plain tar
//! ├── index.json                what is in it, see [`Index`]
//! ├── keys/5c3e….asc            the public keys of the signers: an offer, as from any stranger
//! ├── images/sha512-8f1c….aci.asc
//! └── images/sha512-8f1c….aci   dependencies before what needs them
//! ```
//!
//! The files are the authors' own, byte for byte. Whoever imports verifies each image as if it
//! had come from its domain: the name is the one inside the image, and its signer must be
//! trusted for it here. The file itself is not signed, since nothing in it is believed.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use aci::archive::{ArchiveError, ContainerReader, ContainerWriter};
use aci::{ImageId, Limits, Name, Refusal, Refuse};
use keys::{Certificate, Fingerprint, KeyError, Scope};
use serde::{Deserialize, Serialize};

use crate::closure::{ClosureError, with_dependencies};
use crate::error::{Kind, refusal};
use crate::fetch::Trust;
use crate::store::{Imported, Origin, Store, StoreError, StoredImage};
use crate::unverified::Unverified;

const INDEX: &str = "index.json";
/// The version of this format.
const FORMAT: u32 = 1;
/// Largest index read, in bytes: some ten thousand images.
const MAX_INDEX: u64 = 16 << 20;

/// `index.json`:
///
/// ```json
/// {
///   "format": 1,
///   "roots": ["sha512-8f1c…"],
///   "keys": [{"fingerprint": "5c3e…", "prefixes": ["example.com/team"]}],
///   "images": [{"imageId": "sha512-8f1c…", "reference": "example.com/team/hello:1.0.0", "fileBytes": 52100}]
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Index {
    /// The version of the format: 1.
    pub format: u32,
    /// The images that were asked for; the others are their dependencies.
    pub roots: Vec<ImageId>,
    /// The keys, and for which names they were trusted where the file was made.
    pub keys: Vec<KeyOffer>,
    /// The images, dependencies first.
    pub images: Vec<IndexEntry>,
}

/// A key in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyOffer {
    /// The primary key.
    pub fingerprint: Fingerprint,
    /// What it was trusted for; empty for a key that was trusted for every name.
    pub prefixes: Vec<Name>,
}

/// An image in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IndexEntry {
    /// The image.
    pub image_id: ImageId,
    /// Its name and labels, as a person writes them.
    pub reference: String,
    /// Bytes of the image file.
    pub file_bytes: u64,
}

/// Why images could not be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The images and what they depend on.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// An image does not pass under the trust of this machine.
    #[error(transparent)]
    Image(#[from] Unverified),
    /// The file holds another image than its index says.
    #[error("the file says it holds {wanted}, and holds {found}")]
    OtherImage {
        /// As the index says.
        wanted: ImageId,
        /// What is there.
        found: ImageId,
    },
    /// A key in the file cannot be used.
    #[error("the key {path} of the file cannot be used: {source}")]
    Key {
        /// Where it stands in the file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// The file is not one that was exported.
    #[error("this is no file of exported images: {0}")]
    Format(String),
    /// The file's container is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Reading or writing failed.
    #[error("cannot read or write the file of images: {0}")]
    Io(#[from] io::Error),
}

impl TransferError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Closure(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Io(_) | Self::Archive(ArchiveError::Io(_)) => Kind::Failed,
            Self::OtherImage { .. } | Self::Key { .. } | Self::Format(_) | Self::Archive(_) => {
                Kind::Refused
            }
        }
    }
}

impl Refuse for TransferError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Store(error) => error.refusal(),
            Self::Archive(error) => error.refusal(),
            Self::Image(error) => error.refusal(),
            Self::Closure(error) => error.refusal(),
            Self::OtherImage { wanted, found } => refusal(
                "transfer-mismatch",
                self,
                wanted.to_string(),
                found.to_string(),
                "what an image is, is told by its bytes",
                "export the images again",
            ),
            Self::Key { source, .. } => refusal(
                "key-unusable",
                self,
                "an OpenPGP public key of version 4",
                source.to_string(),
                "keys in the file are offers, read as any stranger's",
                "export the images again",
            ),
            Self::Format(found) => refusal(
                "transfer-format",
                self,
                "a file that gantry bundle export has written",
                found.clone(),
                "index.json comes first, then the keys, then each signature before its image",
                "export the images again, with this version or an older one",
            ),
            Self::Io(error) => refusal(
                "transfer-io",
                self,
                "a file that can be read or written to its end",
                error.to_string(),
                "nothing half-written is kept",
                "check the disk, then try again",
            ),
        }
    }
}

/// Writes images with their signatures, signers' keys and dependencies to `out`. Each is
/// verified under today's trust on the way, so nothing leaves that would not be taken here.
pub fn export(
    store: &Store,
    roots: &[ImageId],
    trust: &Trust,
    limits: &Limits,
    out: impl Write,
) -> Result<Index, TransferError> {
    let images = with_dependencies(store, roots, limits)?;
    let index = Index {
        format: FORMAT,
        roots: roots.to_vec(),
        keys: offers(&images, trust),
        images: images.iter().map(entry).collect(),
    };
    let mut container = ContainerWriter::new(out);
    let mut add = |path: &str, bytes: &[u8]| {
        container.begin(path, bytes.len() as u64)?;
        container.write_all(bytes)
    };
    add(INDEX, &serde_json::to_vec_pretty(&index).map_err(io::Error::from)?)?;
    for offer in &index.keys {
        let mut all = trust.keyring.certificates();
        if let Some((key, _)) = all.find(|(key, _)| *key.fingerprint() == offer.fingerprint) {
            add(&key_path(&offer.fingerprint), &key.armored())?;
        }
    }
    for image in &images {
        let record = image.record();
        let path = image_path(&record.image_id);
        container.begin(&format!("{path}.asc"), image.signature().len() as u64)?;
        container.write_all(image.signature())?;
        container.begin(&path, record.file_bytes)?;
        let Trust { keyring, policy } = trust;
        let signature = image.signature();
        let refused = |source| {
            let image = record.reference().to_string();
            Unverified::new(image, signature, None, trust, limits, source)
        };
        let verified =
            keys::receive(image.file()?, &mut container, signature, keyring, policy, limits)
                .map_err(refused)?;
        same(&record.image_id, verified.inspected().image_id())?;
    }
    container.finish()?.flush()?;
    Ok(index)
}

fn entry(image: &StoredImage) -> IndexEntry {
    let record = image.record();
    IndexEntry {
        image_id: record.image_id.clone(),
        reference: record.reference().to_string(),
        file_bytes: record.file_bytes,
    }
}

/// The keys that may have signed the images, each with the prefixes it is trusted for.
fn offers(images: &[StoredImage], trust: &Trust) -> Vec<KeyOffer> {
    let signers: HashSet<Fingerprint> = images.iter().map(|image| image.record().signer).collect();
    let known = trust.keyring.certificates().filter(|(key, _)| signers.contains(key.fingerprint()));
    let mut offers: Vec<KeyOffer> = known
        .map(|(key, scopes)| {
            let mut prefixes: Vec<Name> = scopes
                .into_iter()
                .filter_map(|scope| match scope {
                    Scope::Root => None,
                    Scope::Prefix(prefix) => Some(prefix),
                })
                .collect();
            prefixes.sort();
            KeyOffer { fingerprint: *key.fingerprint(), prefixes }
        })
        .collect();
    offers.sort_by_key(|offer| offer.fingerprint.to_string());
    offers
}

fn key_path(fingerprint: &Fingerprint) -> String {
    format!("keys/{fingerprint}.asc")
}

fn image_path(id: &ImageId) -> String {
    format!("images/{id}.aci")
}

fn same(wanted: &ImageId, found: &ImageId) -> Result<(), TransferError> {
    if wanted == found {
        return Ok(());
    }
    Err(TransferError::OtherImage { wanted: wanted.clone(), found: found.clone() })
}

/// A file of exported images, read up to its keys.
pub struct Transfer<R> {
    container: ContainerReader<R>,
    limits: Limits,
    index: Index,
    keys: Vec<(Certificate, Vec<Name>)>,
}

impl<R: Read> Transfer<R> {
    /// Reads the index and the keys; the images come with [`Transfer::import`].
    pub fn open(file: R, limits: &Limits) -> Result<Self, TransferError> {
        let mut container = ContainerReader::new(file, limits);
        let bytes = small(&mut container, INDEX, MAX_INDEX)?;
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|error| TransferError::Format(format!("{INDEX}: {error}")))?;
        if index.format != FORMAT {
            let found = format!("it is of format {}, this version reads {FORMAT}", index.format);
            return Err(TransferError::Format(found));
        }
        let mut keys = Vec::new();
        for offer in &index.keys {
            let path = key_path(&offer.fingerprint);
            let bytes = small(&mut container, &path, limits.key_bytes)?;
            let all = Certificate::read_all(&bytes, limits)
                .map_err(|source| TransferError::Key { path: path.clone(), source })?;
            let named = all.into_iter().find(|key| *key.fingerprint() == offer.fingerprint);
            let key =
                named.ok_or_else(|| TransferError::Format(format!("{path} is another key")))?;
            keys.push((key, offer.prefixes.clone()));
        }
        Ok(Self { container, limits: limits.clone(), index, keys })
    }

    /// What the file says it holds.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The keys it offers, and what they were trusted for where it was made. Nobody vouches
    /// for them: they count when a person, or a script that knows the fingerprint, says so.
    pub fn keys(&self) -> &[(Certificate, Vec<Name>)] {
        &self.keys
    }

    /// Verifies each image and puts it into the store, dependencies first, so that what is
    /// there when something fails is complete.
    pub fn import(
        mut self,
        store: &Store,
        trust: &Trust,
        from: &str,
    ) -> Result<Vec<Imported>, TransferError> {
        let mut all = Vec::new();
        for entry in std::mem::take(&mut self.index.images) {
            let path = image_path(&entry.image_id);
            let signature =
                small(&mut self.container, &format!("{path}.asc"), self.limits.signature_bytes)?;
            expect(&mut self.container, &path)?;
            let mut incoming = store.stage()?;
            let Trust { keyring, policy } = trust;
            let refused = |source| {
                let image = entry.reference.clone();
                Unverified::new(image, &signature, None, trust, &self.limits, source)
            };
            let verified = keys::receive(
                &mut self.container,
                &mut incoming,
                &signature,
                keyring,
                policy,
                &self.limits,
            )
            .map_err(refused)?;
            same(&entry.image_id, verified.inspected().image_id())?;
            let origin = Origin::File { path: from.to_owned() };
            all.push(incoming.commit(&verified, &signature, origin, policy.now)?);
        }
        match self.container.next_file()? {
            None => Ok(all),
            Some((path, _)) => Err(TransferError::Format(format!("{path} is not in its index"))),
        }
    }
}

/// The size of the next file, which must be at `path`.
fn expect<R: Read>(container: &mut ContainerReader<R>, path: &str) -> Result<u64, TransferError> {
    match container.next_file()? {
        Some((found, size)) if found == path => Ok(size),
        Some((found, _)) => {
            Err(TransferError::Format(format!("{found} stands where {path} should")))
        }
        None => Err(TransferError::Format(format!("it ends before {path}"))),
    }
}

/// A whole file that must be next.
fn small<R: Read>(
    container: &mut ContainerReader<R>,
    path: &str,
    limit: u64,
) -> Result<Vec<u8>, TransferError> {
    let size = expect(container, path)?;
    if size > limit {
        return Err(TransferError::Format(format!(
            "{path} has {size} bytes, at most {limit} are read"
        )));
    }
    let mut bytes = Vec::new();
    container.read_to_end(&mut bytes)?;
    Ok(bytes)
}
