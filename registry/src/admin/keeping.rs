//! Work that keeps a registry, done by a command: beside a running server, unless it says otherwise.

use std::path::Path;
use std::time::{Duration, SystemTime};

use aci::{ImageId, Name};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AdminError, within};
use crate::access::Changer;
use crate::audit::Actor;
use crate::blobs::Folder;
use crate::catalog::{Catalog, CatalogError, Used};
use crate::config::Clock;
use crate::data::{DataDir, Place};
use crate::keeping::{
    self, BackUp, BackedUp, Checked, Collected, Damaged, Judged, KeepError, Keeper, Quota, Rebuild,
    Restored, Retention, Scrubbed,
};

/// How often, and after which pauses, a command asks for work that another is doing.
const ATTEMPTS: u32 = 90;
const PAUSE: Duration = Duration::from_secs(1);

/// Waits until nobody else is at it, for some time.
async fn in_turn<T>(work: impl AsyncFn() -> Result<Option<T>, KeepError>) -> Result<T, KeepError> {
    for _ in 0..ATTEMPTS {
        if let Some(done) = work().await? {
            return Ok(done);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(KeepError::Busy)
}

/// Removes what nothing refers to.
pub async fn collect(place: &Place, clock: Clock) -> Result<Collected, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let collected = in_turn(async || keeper.collect(&Actor::admin()).await).await?;
    keeper.catalog.close().await;
    Ok(collected)
}

/// What [`collect`] would remove.
pub async fn collectable(place: &Place, clock: Clock) -> Result<Collected, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let collected = keeper.collectable().await?;
    keeper.catalog.close().await;
    Ok(collected)
}

/// Deletes what a rule does not keep, and gives it. A registry that is read-only keeps everything.
pub async fn retain(
    place: &Place,
    rules: &[Retention],
    clock: Clock,
) -> Result<Vec<Judged>, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let deleted = in_turn(async || match keeper.catalog.is_read_only().await? {
        true => Err(KeepError::ReadOnly),
        false => keeper.retain(rules, &Changer::admin()).await,
    });
    let deleted = deleted.await?;
    keeper.catalog.close().await;
    Ok(deleted)
}

/// What rules say of every image they are for. Nothing is deleted.
pub async fn judge(
    place: &Place,
    rules: &[Retention],
    clock: Clock,
) -> Result<Vec<Judged>, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let judged = keeper.judge(rules).await?;
    keeper.catalog.close().await;
    Ok(judged)
}

/// Reads every file again, at most so many bytes a second.
pub async fn scrub(place: &Place, rate: u64, clock: Clock) -> Result<Scrubbed, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let since = keeper.clock.now();
    let scrubbed = in_turn(async || keeper.scrub(since, rate).await).await?;
    keeper.catalog.close().await;
    Ok(scrubbed)
}

/// Makes a backup of a registry, or brings one up to date.
pub async fn back_up(
    place: &Place,
    to: &Path,
    how: BackUp,
    clock: Clock,
) -> Result<BackedUp, KeepError> {
    // Before anything is made in a folder that may be none of a registry's.
    let (data, given) = (DataDir::unopened(place), place.database.as_ref());
    data.agree(given).await?;
    if data.database(given).file().is_some_and(|file| !file.exists()) {
        return Err(KeepError::NoCatalogue(place.data.clone()));
    }
    let keeper = Keeper::command(place, clock).await?;
    let done = keeper.back_up(place, to, how).await?;
    keeper.catalog.close().await;
    Ok(done)
}

/// Restores a backup into an empty place. What is lost is an error, unless it is allowed.
pub async fn restore(
    from: &Path,
    place: &Place,
    allow_lost: bool,
    clock: Clock,
) -> Result<Restored, KeepError> {
    let restored = keeping::restore(from, place, allow_lost, &clock).await?;
    DataDir::open_existing(&place.data)?.mark(place.database.as_ref())?;
    Ok(restored)
}

/// What is known to be lost or damaged. Nothing is read.
pub async fn damaged(place: &Place, clock: Clock) -> Result<Vec<Damaged>, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let damaged = keeper.damaged().await?;
    keeper.catalog.close().await;
    Ok(damaged)
}

/// What rules say of the images of a prefix, or have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetainedImages {
    /// What goes, or went.
    pub deleted: Vec<RetainedImage>,
    /// What stays, where nothing was deleted yet.
    pub stays: Vec<RetainedImage>,
    /// The bytes of what goes.
    pub bytes: u64,
}

/// An image that rules were asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetainedImage {
    /// Which image.
    pub image_id: ImageId,
    /// Its name and labels.
    pub reference: String,
    /// What its two files take.
    pub bytes: u64,
    /// Why it stays; with none, it goes.
    pub stays: Vec<String>,
}

impl From<Judged> for RetainedImage {
    fn from(judged: Judged) -> Self {
        let Judged { image_id, reference, bytes, stays } = judged;
        Self { image_id, reference, bytes, stays: stays.iter().map(ToString::to_string).collect() }
    }
}

impl FromIterator<Judged> for RetainedImages {
    fn from_iter<T: IntoIterator<Item = Judged>>(judged: T) -> Self {
        let all = judged.into_iter().map(RetainedImage::from);
        let (deleted, stays): (Vec<RetainedImage>, Vec<RetainedImage>) =
            all.partition(|image| image.stays.is_empty());
        let bytes = deleted.iter().map(|image| image.bytes).sum();
        Self { deleted, stays, bytes }
    }
}

/// What the images of a name come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The name.
    pub name: Name,
    /// How many images it has.
    pub images: u64,
    /// The bytes of their files.
    pub bytes: u64,
}

/// What the images of several names come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageReport {
    /// Name by name.
    pub names: Vec<Usage>,
    /// All images.
    pub images: u64,
    /// All bytes.
    pub bytes: u64,
    /// What there may be below prefixes, where a server tells, whose configuration has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<QuotaUse>,
}

/// What there may be below a prefix, and what there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaUse {
    /// The prefix.
    pub prefix: Name,
    /// How many images there are.
    pub images: u64,
    /// How many there may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_images: Option<u64>,
    /// The bytes of their files.
    pub bytes: u64,
    /// How many there may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_bytes: Option<u64>,
}

impl UsageReport {
    fn new(names: Vec<Usage>) -> Self {
        let images = names.iter().map(|name| name.images).sum();
        let bytes = names.iter().map(|name| name.bytes).sum();
        Self { names, images, bytes, quotas: Vec::new() }
    }
}

/// What the images of each name at and below a prefix come to; of all, where none is given.
pub async fn usage(place: &Place, prefix: Option<&Name>) -> Result<UsageReport, AdminError> {
    let prefixes = prefix.map(|prefix| vec![prefix.clone()]);
    within(place, async |catalog| usage_of(catalog, prefixes.as_deref()).await).await
}

/// The same below several prefixes, none below another.
pub(crate) async fn usage_of(
    catalog: &Catalog,
    prefixes: Option<&[Name]>,
) -> Result<UsageReport, CatalogError> {
    let mut used = Vec::new();
    match prefixes {
        None => used = catalog.used_by_name(None).await?,
        Some(prefixes) => {
            for prefix in prefixes {
                used.extend(catalog.used_by_name(Some(prefix)).await?);
            }
        }
    }
    let usage = |(name, used): (Name, Used)| {
        let Used { images, bytes } = used;
        Usage { name, images, bytes }
    };
    Ok(UsageReport::new(used.into_iter().map(usage).collect()))
}

/// What there is of what there may be.
pub(crate) async fn quotas(
    catalog: &Catalog,
    quotas: impl Iterator<Item = &Quota>,
) -> Result<Vec<QuotaUse>, CatalogError> {
    let mut all = Vec::new();
    for quota in quotas {
        let Used { images, bytes } = catalog.used(&quota.prefix).await?;
        let (most_images, most_bytes) = (quota.images, quota.bytes.map(|size| size.bytes()));
        all.push(QuotaUse { prefix: quota.prefix.clone(), images, most_images, bytes, most_bytes });
    }
    Ok(all)
}

/// Whether a registry takes nothing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadOnly {
    /// Whether.
    pub read_only: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::stamp::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<SystemTime>,
}

impl From<Option<SystemTime>> for ReadOnly {
    fn from(since: Option<SystemTime>) -> Self {
        Self { read_only: since.is_some(), since }
    }
}

/// Whether a registry takes nothing in, and since when.
pub async fn read_only(place: &Place) -> Result<ReadOnly, AdminError> {
    Ok(within(place, Catalog::read_only_since).await?.into())
}

/// Lets a registry take nothing in, or again: every node, from its next request on.
pub async fn set_read_only(place: &Place, on: bool, clock: Clock) -> Result<(), AdminError> {
    let by = Changer::admin();
    within(place, async |catalog| catalog.set_read_only(on, &by, clock.now()).await).await
}

/// Compares catalogue, files and keys, without reading the files.
pub async fn check(place: &Place, clock: Clock) -> Result<Checked, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let checked = keeping::check(&keeper, place).await?;
    keeper.catalog.close().await;
    Ok(checked)
}

/// Removes the files that the catalogue does not know, where they are older than a day, and with them
/// what [`collect`] removes.
pub async fn remove_orphans(place: &Place, clock: Clock) -> Result<Collected, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let folder = Folder::new(&DataDir::open_existing(&place.data)?.blobs());
    keeping::take_up_orphans(&keeper, &folder).await?;
    let collected = in_turn(async || keeper.collect(&Actor::admin()).await).await?;
    keeper.catalog.close().await;
    Ok(collected)
}

/// Makes the catalogue anew from the files and their signatures, or tells what would come of it. No
/// server may run meanwhile.
pub async fn rebuild(place: &Place, how: Rebuild, clock: Clock) -> Result<Checked, KeepError> {
    DataDir::open_existing(&place.data)?.agree(place.database.as_ref()).await?;
    keeping::rebuild(place, how, &clock).await
}
