//! Catalogue, files and keys compared with each other; and the catalogue made anew from the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aci::stage::{self, Existing, StagedFile, StagedFolder};
use aci::{ImageId, Limits, Name, Refusal, Refuse as _};
use keys::{Keyring, Liveness, Policy, ReceiveError, TrustStore, VerifyError};
use serde::Serialize;

use super::{KeepError, Keeper};
use crate::blobs::{BlobKey, BlobStore, Folder};
use crate::catalog::{
    Catalog, Database, DatabaseUrl, Published, Recorded, Renewal, Renewed, Salvaged,
};
use crate::config::Clock;
use crate::data::{DataDir, Place};

/// Keys that are listed at a time.
const BATCH: usize = 1024;
/// How old a file is that nothing knows and that may be removed.
const ORPHANED: Duration = Duration::from_secs(24 * 3600);

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Checked {
    /// Images in the catalogue, or in the new one.
    pub images: u64,
    /// Files among the blobs.
    pub blobs: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// Tables of which nothing, or not all, is left.
    pub lost: Vec<String>,
    /// Where what policies said is lost: whoever may read there is served, and nobody else.
    pub closed: Vec<Name>,
}

/// Whether something is done, or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuild {
    /// The catalogue is made anew.
    Now,
    /// It is told what would come of it, and nothing is changed.
    DryRun,
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
    /// The catalogue's database is not what its own rules say.
    DamagedDatabase,
    /// An image of the catalogue whose signer may not sign for its name any more: not in the new one.
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
pub(crate) async fn check(keeper: &Keeper, place: &Place) -> Result<Checked, KeepError> {
    let data = DataDir::open_existing(&place.data)?;
    let mut checked = Checked::default();
    let fault = keeper.catalog.fault().await;
    if let Some(fault) = &fault {
        let database = data.database(place.database.as_ref());
        let detail = format!(
            "{fault}; restore a backup, or `gantry registry fsck --rebuild` saves what can be read"
        );
        checked.findings.push(finding(FindingCode::DamagedDatabase, database.url, detail));
    }
    match compare(keeper, &data, &mut checked).await {
        // Then it is told as far as it can be read.
        Err(KeepError::Catalog(_)) if fault.is_some() => Ok(checked),
        compared => compared.map(|()| checked),
    }
}

async fn compare(keeper: &Keeper, data: &DataDir, checked: &mut Checked) -> Result<(), KeepError> {
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
    Ok(())
}

/// Has the next collection remove the files that the catalogue does not know, where they are older
/// than a day. There is a row of a push's file before there is the file, and so it is none of these;
/// whoever wants one of them meanwhile leases its row.
pub(crate) async fn take_up_orphans(keeper: &Keeper, folder: &Folder) -> Result<(), KeepError> {
    let known = keeper.catalog.known_blobs().await?;
    let before = keeper.clock.now().checked_sub(ORPHANED);
    let mut orphans = Vec::new();
    for key in all_keys(folder).await?.into_iter().filter(|key| !known.contains_key(key)) {
        let Ok(metadata) = fs::metadata(folder.path(&key)) else { continue };
        if metadata.is_file() && metadata.modified().ok() < before {
            orphans.push((key, metadata.len()));
        }
    }
    Ok(keeper.catalog.take_up(&orphans).await?)
}

/// Makes the catalogue anew from the files and their signatures. What only the database knows, as
/// tokens and tombstones, stays where it can be read. Where policies cannot, nobody may read but who
/// is allowed to.
///
/// No server may run on the data directory, nor on the database.
pub(crate) async fn rebuild(
    place: &Place,
    how: Rebuild,
    clock: &Clock,
) -> Result<Checked, KeepError> {
    let data = DataDir::open_existing(&place.data)?;
    let _lock = data.lock()?;
    let mut database = data.database(place.database.as_ref());
    let mut _copy = None;
    if how == Rebuild::DryRun
        && let Some(file) = database.file()
    {
        // Even looking at a damaged one may change it.
        let copy = copy_of(file, &data.spool())?;
        database = DatabaseUrl::file(&copy.path().join("gantry.db")).into();
        _copy = Some(copy);
    }
    let (catalog, salvaged) = sound(&database, clock).await?;
    let Salvaged { lost, recorded } = salvaged;
    let folder = Folder::new(&data.blobs());
    let there = all_keys(&folder).await?;
    let mut checked = Checked { blobs: there.len() as u64, lost, ..Checked::default() };
    let mut reading = Reading {
        data: place.data.clone(),
        folder,
        keyring: Arc::new(keyring(&data, &Limits::default())?),
        // An old signature by a key that has expired since is as good as it was.
        policy: Policy::new(clock.now(), Liveness::AtSigning),
        limits: Limits::default(),
        untrusted: BTreeMap::new(),
    };
    let found = reading.all(&catalog, &there, &recorded, &mut checked.findings).await?;
    let images = choose(&catalog, found, &mut checked.findings).await?;
    checked.images = images.len() as u64;
    let chosen: BTreeSet<&ImageId> =
        images.iter().map(|image| image.verified.inspected().image_id()).collect();
    for (id, recorded) in recorded.iter().filter(|(id, _)| !chosen.contains(id)) {
        checked.findings.push(absent(place, id, recorded, &reading.untrusted));
    }
    if checked.lost.iter().any(|table| table == "policies") {
        checked.closed = closed(&data, &images, &reading.limits)?;
    }
    if how == Rebuild::Now {
        let dropped = recorded.keys().filter(|id| !chosen.contains(id)).count();
        let mut detail = format!("{} images, {dropped} dropped", images.len());
        if !checked.lost.is_empty() {
            detail.push_str(&format!("; lost: {}", checked.lost.join(", ")));
        }
        let renewal = Renewal { images: &images, closed: &checked.closed, detail };
        catalog.renew(renewal, clock.now()).await?;
    }
    catalog.close().await;
    Ok(checked)
}

/// An image that was in the catalogue and will not be.
fn absent(
    place: &Place,
    id: &ImageId,
    recorded: &Recorded,
    untrusted: &BTreeMap<String, String>,
) -> Finding {
    let Recorded { name, version, signature_blob, .. } = recorded;
    let version = version.as_ref().map(|version| format!(":{version}")).unwrap_or_default();
    match untrusted.get(signature_blob) {
        Some(why) => {
            let detail = format!("{name}{version}: {why}; {}", add_key(&place.data, name));
            finding(FindingCode::Untrusted, id, detail)
        }
        None => {
            let detail =
                format!("{name}{version} was in the catalogue, and has no files that verify");
            finding(FindingCode::Missing, id, detail)
        }
    }
}

/// What to do where a key is trusted no more.
fn add_key(data: &Path, name: &str) -> String {
    let data = data.display();
    format!(
        "to keep it, `gantry registry keys add --data {data} --prefix {name} KEY` first, and \
         rebuild again"
    )
}

/// The domains of the images and of the trusted keys.
fn closed(data: &DataDir, images: &[Renewed], limits: &Limits) -> Result<Vec<Name>, KeepError> {
    let prefixes = TrustStore::open(&data.trusted_keys()).prefixes(limits)?;
    let names = images.iter().map(|image| &image.verified.inspected().manifest().name);
    let hosts = names.chain(&prefixes).filter_map(|name| name.ancestors().last());
    Ok(hosts.collect::<BTreeSet<Name>>().into_iter().collect())
}

/// A copy of a database's file, where there is one, which goes when it is dropped.
fn copy_of(file: &Path, spool: &Path) -> Result<StagedFolder, KeepError> {
    let copy = StagedFolder::new_in(spool)?;
    for end in ["", "-wal"] {
        let from = with_end(file, end);
        let mut read = match File::open(&from) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(KeepError::Path { path: from, source }),
        };
        let mut written = StagedFile::new_in(copy.path(), 0o600)?;
        io::copy(&mut read, &mut written)?;
        written.commit(&copy.path().join(format!("gantry.db{end}")), Existing::Refuse)?;
    }
    Ok(copy)
}

/// A database that can be used: the one there is, or a new one with what can be saved of that.
async fn sound(database: &Database, clock: &Clock) -> Result<(Catalog, Salvaged), KeepError> {
    let whole = async |catalog: Catalog| {
        // One that has just been made, or was emptied, has forgotten everything.
        let blank = catalog.is_blank().await?;
        let lost = if blank { catalog.only_here().await? } else { Vec::new() };
        let recorded = catalog.recorded().await?;
        Ok::<_, KeepError>((catalog, Salvaged { lost, recorded }))
    };
    let Some(file) = database.file().filter(|file| file.exists()) else {
        return whole(Catalog::open(database).await?).await;
    };
    match Catalog::open(database).await {
        Ok(catalog) if catalog.fault().await.is_none() => return whole(catalog).await,
        Ok(catalog) => catalog.close().await,
        // It is not damaged: another version of this program reads it.
        Err(error) if error.is_of_another_version() => return Err(error.into()),
        Err(_) => {}
    }
    let since = clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let aside = file.with_extension(format!("damaged-{}", since.as_secs()));
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (with_end(file, end), with_end(&aside, end));
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

/// How the files are read.
struct Reading {
    data: PathBuf,
    folder: Folder,
    keyring: Arc<Keyring>,
    policy: Policy,
    limits: Limits,
    /// Signatures that nobody trusts any more, by their keys, and why.
    untrusted: BTreeMap<String, String>,
}

/// Why files are no image.
struct Unverified {
    why: String,
    /// Of what name, as far as that is known, where other keys would make one of them.
    untrusted: Option<String>,
}

impl Reading {
    /// Every image with every signature over it that verifies. What does not is told, but for what
    /// was in the catalogue and has lost its keys: that is told of the image.
    async fn all(
        &mut self,
        catalog: &Catalog,
        there: &BTreeSet<BlobKey>,
        recorded: &HashMap<ImageId, Recorded>,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<Renewed>, KeepError> {
        let published = catalog.published().await?;
        let known: BTreeSet<&str> =
            recorded.values().map(|recorded| &*recorded.signature_blob).collect();
        let mut found = Vec::new();
        for (image, signatures) in pairs(there, findings) {
            for signature in signatures {
                match self.verify(&image, &signature).await? {
                    Ok(mut renewed) => {
                        let id = renewed.verified.inspected().image_id();
                        let before = recorded.get(id).cloned();
                        let told = || published.get(id).map(|told| as_told(told, &renewed));
                        renewed.recorded = before.or_else(told);
                        found.push(renewed);
                    }
                    Err(Unverified { why, untrusted }) => match untrusted {
                        Some(_) if known.contains(signature.as_str()) => {
                            self.untrusted.insert(signature.as_str().to_owned(), why);
                        }
                        Some(name) => {
                            let detail = format!("{why}; {}", add_key(&self.data, &name));
                            findings.push(finding(FindingCode::Unverified, &signature, detail));
                        }
                        None => findings.push(finding(FindingCode::Unverified, &signature, why)),
                    },
                }
            }
        }
        Ok(found)
    }

    /// Reads an image with one signature, or says why it is none.
    async fn verify(
        &self,
        image: &BlobKey,
        signature: &BlobKey,
    ) -> Result<Result<Renewed, Unverified>, KeepError> {
        let (folder, keyring) = (self.folder.clone(), Arc::clone(&self.keyring));
        let (policy, limits) = (self.policy.clone(), self.limits.clone());
        let (image, signature) = (image.clone(), signature.clone());
        let read = move || verify(&folder, &image, &signature, &keyring, &policy, &limits);
        Ok(tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?)
    }
}

/// What only the audit log remembers of an image. It comes after those that have rows.
fn as_told(published: &Published, renewed: &Renewed) -> Recorded {
    let manifest = renewed.verified.inspected().manifest();
    Recorded {
        name: manifest.name.to_string(),
        version: manifest.labels.value("version").map(ToString::to_string),
        sequence: (i64::MAX / 2).saturating_add(published.sequence),
        pushed: published.at,
        pushed_by: published.by.clone(),
        yanked: 0,
        image_blob: String::new(),
        signature_blob: String::new(),
    }
}

fn verify(
    folder: &Folder,
    image: &BlobKey,
    signature: &BlobKey,
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<Renewed, Unverified> {
    let no_image = |why: String| Unverified { why, untrusted: None };
    let unread = |error: io::Error| no_image(format!("it cannot be read: {error}"));
    let signed = fs::read(folder.path(signature)).map_err(unread)?;
    let file = File::open(folder.path(image)).map_err(unread)?;
    let verified = keys::receive(file, io::sink(), &signed, keyring, policy, limits);
    let verified = verified.map_err(|error| {
        // The refusal's next step is for who fetches an image, not for who serves it.
        let Refusal { message, wanted, found, .. } = error.refusal();
        let untrusted = match error {
            ReceiveError::Verify(VerifyError::SignerNotTrusted { name, .. }) => {
                Some(name.map_or_else(|| "NAME".to_owned(), |name| name.to_string()))
            }
            ReceiveError::Verify(VerifyError::SignerWrongPrefix { name, .. }) => {
                Some(name.to_string())
            }
            ReceiveError::Verify(VerifyError::TooFewSigners(few)) => Some(few.name.to_string()),
            _ => None,
        };
        Unverified { why: format!("{message} (wanted: {wanted}; found: {found})"), untrusted }
    })?;
    let renewed = Renewed { verified, signature: signed, recorded: None };
    let [(own, _), (own_signature, _)] = renewed.blobs();
    if own != *image || own_signature != *signature {
        return Err(no_image("its bytes are not those of its name".to_owned()));
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
