//! Catalogue, files and keys compared with each other; and the catalogue made anew from the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aci::stage;
use aci::{ImageId, Limits, Refuse as _};
use keys::{Keyring, Liveness, Policy, TrustStore};
use serde::Serialize;

use super::{KeepError, Keeper};
use crate::blobs::{BlobKey, BlobStore, Folder};
use crate::catalog::{Catalog, Database, Renewed, Salvaged};
use crate::config::Clock;
use crate::data::{DataDir, Place};

/// Keys that are listed at a time.
const BATCH: usize = 1024;

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checked {
    /// Images in the catalogue, or in the new one.
    pub images: u64,
    /// Files among the blobs.
    pub blobs: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// Tables of a damaged database that could not be read.
    pub lost: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub code: FindingCode,
    /// The file's key, or the image's ID.
    pub what: String,
    /// In words.
    pub detail: String,
}

/// What a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingCode {
    /// A file that an image refers to is not there.
    Missing,
    /// A file has another size than the catalogue says.
    WrongSize,
    /// A file cannot be read.
    Unreadable,
    /// A file that the catalogue does not know.
    Orphaned,
    /// An image whose signer may not sign for its name any more.
    Untrusted,
    /// Files that no verification accepts: not in the new catalogue.
    Unverified,
    /// An image that was deleted, or whose name another one has: not in the new catalogue.
    Superseded,
}

fn finding(code: FindingCode, what: impl ToString, detail: impl Into<String>) -> Finding {
    Finding { code, what: what.to_string(), detail: detail.into() }
}

/// Every blob there is.
async fn all_keys(store: &dyn BlobStore) -> Result<BTreeSet<BlobKey>, KeepError> {
    let mut all = BTreeSet::new();
    let mut last: Option<BlobKey> = None;
    loop {
        let keys = store.list(last.as_ref(), BATCH).await?;
        let Some(end) = keys.last() else { return Ok(all) };
        last = Some(end.clone());
        all.extend(keys);
    }
}

fn keyring(data: &DataDir, limits: &Limits) -> Result<Keyring, KeepError> {
    Ok(TrustStore::open(&data.trusted_keys()).keyring(limits)?.0)
}

/// Compares without reading the files: for that there is the scrub.
pub(crate) async fn check(keeper: &Keeper, data: &DataDir) -> Result<Checked, KeepError> {
    let mut checked = Checked::default();
    let there = all_keys(&*keeper.blobs).await?;
    let known = keeper.catalog.known_blobs().await?;
    checked.blobs = there.len() as u64;
    for (key, bytes) in keeper.catalog.image_blobs().await? {
        match keeper.blobs.bytes(&key).await {
            Ok(Some(found)) if found == bytes => {}
            Ok(Some(found)) => {
                let detail = format!("{found} bytes, not {bytes}");
                checked.findings.push(finding(FindingCode::WrongSize, &key, detail));
            }
            Ok(None) => checked.findings.push(finding(FindingCode::Missing, &key, "not there")),
            Err(error) => {
                let detail = error.to_string();
                checked.findings.push(finding(FindingCode::Unreadable, &key, detail));
            }
        }
    }
    for key in there.iter().filter(|key| !known.contains_key(*key)) {
        let detail = "the catalogue does not know it";
        checked.findings.push(finding(FindingCode::Orphaned, key, detail));
    }
    let keyring = keyring(data, &Limits::default())?;
    for id in keeper.catalog.recorded().await?.keys() {
        checked.images += 1;
        let Some(image) = keeper.catalog.image(id).await? else { continue };
        let mut trusted = keyring.trusted_for(&image.name);
        if !trusted.any(|certificate| *certificate.fingerprint() == image.signer) {
            let detail = format!("{}: {} may not sign for it any more", image.name, image.signer);
            checked.findings.push(finding(FindingCode::Untrusted, id, detail));
        }
    }
    Ok(checked)
}

/// Makes the catalogue anew from the files and their signatures. What only the database knows, as
/// tokens and tombstones, stays where it can be read.
///
/// No server may run on the data directory, nor on the database.
pub(crate) async fn rebuild(place: &Place, clock: &Clock) -> Result<Checked, KeepError> {
    let data = DataDir::open_existing(&place.data)?;
    let _lock = data.lock()?;
    let database = data.database(place.database.as_ref());
    let (catalog, salvaged) = sound(&data, &database, place.database.is_none(), clock).await?;
    let Salvaged { lost, recorded } = salvaged;
    let folder = Folder::new(&data.blobs());
    let there = all_keys(&folder).await?;
    let mut checked = Checked { blobs: there.len() as u64, lost, ..Checked::default() };
    let limits = Limits::default();
    let keyring = Arc::new(keyring(&data, &limits)?);
    // An old signature by a key that has expired since is as good as it was.
    let policy = Policy::new(clock.now(), Liveness::AtSigning);
    let mut found = Vec::new();
    for (image, signatures) in pairs(&there, &mut checked.findings) {
        for signature in signatures {
            let (folder, keyring) = (folder.clone(), Arc::clone(&keyring));
            let (policy, limits) = (policy.clone(), limits.clone());
            let (image, key) = (image.clone(), signature.clone());
            let read = move || verify(&folder, &image, &key, &keyring, &policy, &limits);
            match tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)? {
                Ok(mut renewed) => {
                    let id = renewed.verified.inspected().image_id();
                    renewed.recorded = recorded.get(id).cloned();
                    found.push(renewed);
                }
                Err(detail) => {
                    checked.findings.push(finding(FindingCode::Unverified, &signature, detail));
                }
            }
        }
    }
    let images = choose(&catalog, found, &mut checked.findings).await?;
    catalog.renew(&images, clock.now()).await?;
    checked.images = images.len() as u64;
    let absent = recorded
        .keys()
        .filter(|id| !images.iter().any(|image| image.verified.inspected().image_id() == *id));
    for id in absent {
        let detail = "it was in the catalogue, and has no files that verify";
        checked.findings.push(finding(FindingCode::Missing, id, detail));
    }
    catalog.close().await;
    Ok(checked)
}

/// A database that can be used: the one there is, or a new one with what can be saved of that.
async fn sound(
    data: &DataDir,
    database: &Database,
    is_ours: bool,
    clock: &Clock,
) -> Result<(Catalog, Salvaged), KeepError> {
    let whole = async |catalog: Catalog| {
        let recorded = catalog.recorded().await?;
        Ok::<_, KeepError>((catalog, Salvaged { lost: Vec::new(), recorded }))
    };
    let file = data.catalogue();
    if !is_ours || !file.exists() {
        return whole(Catalog::open(database).await?).await;
    }
    match Catalog::open(database).await {
        Ok(catalog) if catalog.is_sound().await => return whole(catalog).await,
        Ok(catalog) => catalog.close().await,
        // It is not damaged: another version of this program reads it.
        Err(error) if error.is_of_another_version() => return Err(error.into()),
        Err(_) => {}
    }
    let since = clock.now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let aside = file.with_extension(format!("damaged-{}", since.as_secs()));
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (with_end(&file, end), with_end(&aside, end));
        if from.exists() {
            stage::move_file(&from, &to)?;
        }
    }
    tracing::warn!(file = %aside.display(), "the damaged database was moved");
    let catalog = Catalog::open(database).await?;
    let salvaged = catalog.salvage(&aside).await?;
    Ok((catalog, salvaged))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// Each image with the signatures over it. What stands alone is told.
fn pairs(keys: &BTreeSet<BlobKey>, findings: &mut Vec<Finding>) -> BTreeMap<BlobKey, Vec<BlobKey>> {
    let mut pairs: BTreeMap<BlobKey, Vec<BlobKey>> = keys
        .iter()
        .filter(|key| key.signed().is_none() && key.as_str().ends_with(".aci"))
        .map(|key| (key.clone(), Vec::new()))
        .collect();
    for key in keys {
        let Some(image) = key.signed() else { continue };
        match pairs.get_mut(&image) {
            Some(signatures) => signatures.push(key.clone()),
            None => {
                let detail = "a signature over an image that is not there";
                findings.push(finding(FindingCode::Orphaned, key, detail));
            }
        }
    }
    for (image, _) in pairs.iter().filter(|(_, signatures)| signatures.is_empty()) {
        findings.push(finding(FindingCode::Unverified, image, "nothing has signed it"));
    }
    pairs
}

/// Reads an image with one signature, or says why it is none.
fn verify(
    folder: &Folder,
    image: &BlobKey,
    signature: &BlobKey,
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<Renewed, String> {
    let unread = |error: std::io::Error| format!("it cannot be read: {error}");
    let signed = fs::read(folder.path(signature)).map_err(unread)?;
    let file = File::open(folder.path(image)).map_err(unread)?;
    let verified = keys::receive(file, std::io::sink(), &signed, keyring, policy, limits)
        .map_err(|error| error.refusal().to_string())?;
    let renewed = Renewed { verified, signature: signed, recorded: None };
    let [(own, _), (own_signature, _)] = renewed.blobs();
    if own != *image || own_signature != *signature {
        return Err("its bytes are not those of its name".to_owned());
    }
    Ok(renewed)
}

/// Of several images with one ID, or one name and labels, the one that the catalogue had; what was
/// deleted stays so. In the order of pushes, as far as that is known.
async fn choose(
    catalog: &Catalog,
    mut found: Vec<Renewed>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Renewed>, KeepError> {
    found.sort_by_cached_key(|image| {
        let [(own, _), (signature, _)] = image.blobs();
        let (own, signature) = (own.as_str().to_owned(), signature.as_str().to_owned());
        match &image.recorded {
            Some(recorded) => {
                let other = recorded.image_blob != own || recorded.signature_blob != signature;
                (other, recorded.sequence, own, signature)
            }
            None => (true, i64::MAX, own, signature),
        }
    });
    let (mut ids, mut names) = (BTreeSet::<ImageId>::new(), BTreeSet::new());
    let mut chosen = Vec::new();
    for image in found {
        let inspected = image.verified.inspected();
        let (id, manifest) = (inspected.image_id().clone(), inspected.manifest());
        let name = (manifest.name.clone(), manifest.labels.canonical());
        let why = if catalog.deleted(&id).await?.is_some() {
            Some("it was deleted")
        } else if ids.contains(&id) {
            Some("another file of the same image, or another signature, is there")
        } else if names.contains(&name) {
            Some("another image has its name and labels")
        } else {
            None
        };
        if let Some(why) = why {
            findings.push(finding(FindingCode::Superseded, &image.blobs()[1].0, why));
            continue;
        }
        ids.insert(id);
        names.insert(name);
        chosen.push(image);
    }
    Ok(chosen)
}
