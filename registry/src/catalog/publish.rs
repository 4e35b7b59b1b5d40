//! An image becomes visible: one transaction, after its files are stored.

use std::collections::BTreeSet;
use std::time::SystemTime;

use aci::{FileDigest, ImageId, Label, Labels, Name, Reference};
use keys::VerifiedImage;

use super::audit::append;
use super::database::{Write as _, on};
use super::newest::variant;
use super::order::version_order;
use super::settings::{Used, exceeded};
use super::standing::Holds as _;
use super::uploads::BROUGHT;
use super::yank::withdrawn;
use super::{Catalog, CatalogError, Lease, parsed, seconds, stored};
use crate::access::Caller;
use crate::audit::{AuditAction, Event};
use crate::blobs::BlobKey;
use crate::keeping::FILES_STAY;
use crate::keeping::Quota;
use crate::token::UploadId;

/// How often the same images are tried again where they come at the same moment.
const ATTEMPTS: u32 = 5;

/// An image about to be recorded. Made from a [`VerifiedImage`] alone, so nothing
/// else can become visible.
pub(crate) struct NewImage<'a> {
    pub(crate) verified: &'a VerifiedImage,
    pub(crate) signature_digest: FileDigest,
    pub(crate) signature_bytes: u64,
    /// The upload that brought it.
    pub(crate) upload: &'a UploadId,
    /// Whether it is there already and its files are not: then these are its files, and this is
    /// its signature.
    pub(crate) heals: bool,
    /// Whether it takes the place of another image of its name and labels, where there is one.
    pub(crate) overwrites: bool,
}

impl NewImage<'_> {
    /// The keys of its two files, and their sizes.
    pub(crate) fn blobs(&self) -> [(BlobKey, u64); 2] {
        let inspected = self.verified.inspected();
        let file = inspected.file_digest();
        [
            (BlobKey::image(file), inspected.file_bytes()),
            (BlobKey::signature(file, &self.signature_digest), self.signature_bytes),
        ]
    }
}

/// Why no image was published. Nothing of any of them was.
#[derive(Debug)]
pub(crate) enum NotPublished {
    /// Another image has the name and the labels.
    Taken {
        reference: Reference,
        there: ImageId,
        pushed: ImageId,
    },
    /// An image had the name and the labels, and was deleted.
    Deleted {
        reference: Reference,
        there: ImageId,
    },
    /// Who brings it is no longer who may.
    Caller,
    /// The upload was ended meanwhile.
    Upload,
    /// The lease of the files ran out before this, and they may be gone.
    Lease,
    /// There would be more below a prefix than there may be.
    Quota {
        quota: Quota,
        used: Used,
    },
    Catalog(CatalogError),
}

impl<E: Into<CatalogError>> From<E> for NotPublished {
    fn from(error: E) -> Self {
        Self::Catalog(error.into())
    }
}

/// The label names by which images of one name and version are told apart, beyond
/// the two every client fills in.
pub(super) fn extra_labels(labels: &Labels) -> String {
    let names: BTreeSet<&str> = labels
        .iter()
        .map(|label| label.name.as_str())
        .filter(|name| !matches!(*name, "version" | "os" | "arch"))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

impl Catalog {
    /// Makes images visible, all or none, where each has a name and labels of its own and the caller
    /// still is one. Says of each whether it was not there before.
    pub(crate) async fn publish(
        &self,
        images: &[NewImage<'_>],
        caller: &Caller,
        quotas: &[Quota],
        lease: &Lease,
        now: SystemTime,
    ) -> Result<Vec<bool>, NotPublished> {
        let mut attempts = 0;
        loop {
            match self.try_publish(images, caller, quotas, lease, now).await {
                // The same image came at the same moment, and PostgreSQL saw the one row before the
                // other. The next attempt finds it.
                Err(NotPublished::Taken { there, pushed, .. })
                    if there == pushed && attempts < ATTEMPTS =>
                {
                    attempts += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_publish(
        &self,
        images: &[NewImage<'_>],
        caller: &Caller,
        quotas: &[Quota],
        lease: &Lease,
        now: SystemTime,
    ) -> Result<Vec<bool>, NotPublished> {
        let mut grown: Vec<&Name> = Vec::new();
        let mut created = Vec::new();
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            if !transaction.holds(caller.standing(), now).await? {
                return Err(NotPublished::Caller);
            }
            for new in images {
                let inspected = new.verified.inspected();
                let manifest = inspected.manifest();
                let signature = new.verified.signature();
                let blobs = new.blobs();
                for (key, _) in &blobs {
                    let held = sqlx::query(
                        "UPDATE blobs SET leased_until = $1, damaged_at = NULL
                         WHERE blob_key = $2",
                    )
                    .bind(seconds(lease.until()))
                    .bind(key.as_str())
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
                    if held == 0 {
                        return Err(NotPublished::Lease);
                    }
                }
                // Later than what was there, by whole seconds, in which dates of HTTP are.
                let mut pushed_at = seconds(now);
                if new.overwrites {
                    let replaced: Vec<(String, String, String, i64)> = sqlx::query_as(REPLACE)
                        .bind(manifest.name.as_str())
                        .bind(manifest.labels.canonical())
                        .bind(inspected.image_id().as_str())
                        .fetch_all(&mut *transaction)
                        .await?;
                    for (id, image_blob, signature_blob, before) in replaced {
                        pushed_at = pushed_at.max(before + 1);
                        sqlx::query(KEEP_FOR_A_WHILE)
                            .bind(seconds(now + FILES_STAY))
                            .bind(image_blob)
                            .bind(signature_blob)
                            .execute(&mut *transaction)
                            .await?;
                        let id = parsed("image ID", id)?;
                        let (actor, action) = (caller.actor(), AuditAction::Overwrite);
                        let (name, image) = (Some(&manifest.name), Some(&id));
                        let detail = Some(format!("by {}", inspected.image_id()));
                        append!(transaction, &Event { actor, action, name, image, detail }, now);
                    }
                }
                let recorded = sqlx::query(RECORD)
                    .bind(inspected.image_id().as_str())
                    .bind(manifest.name.as_str())
                    .bind(manifest.labels.value("version"))
                    .bind(labels_json(&manifest.labels)?)
                    .bind(manifest.labels.canonical())
                    .bind(extra_labels(&manifest.labels))
                    .bind(inspected.manifest_bytes())
                    .bind(inspected.compression().as_str())
                    .bind(inspected.file_digest().as_str())
                    .bind(stored(inspected.file_bytes()))
                    .bind(stored(inspected.tar_bytes()))
                    .bind(new.signature_digest.as_str())
                    .bind(stored(new.signature_bytes))
                    .bind(blobs[0].0.as_str())
                    .bind(blobs[1].0.as_str())
                    .bind(signature.signer().to_string())
                    .bind(signature.signing_key().to_string())
                    .bind(seconds(signature.created()))
                    .bind(pushed_at)
                    .bind(caller.id().as_str())
                    .bind(version_order(manifest.labels.value("version")))
                    .bind(variant(&manifest.labels))
                    .bind(i64::from(new.heals))
                    .execute(&mut *transaction)
                    .await;
                let reference = || Reference::new(manifest.name.clone(), manifest.labels.clone());
                let pushed = inspected.image_id().clone();
                if let Err(sqlx::Error::Database(error)) = &recorded
                    && error.is_unique_violation()
                {
                    drop(transaction);
                    let there = self.image_with(&manifest.name, &manifest.labels).await?;
                    // Who had it may have been deleted since; then the next push is told.
                    let there = there.unwrap_or_else(|| pushed.clone());
                    return Err(NotPublished::Taken { reference: reference(), there, pushed });
                }
                let recorded = recorded?.rows_affected() == 1;
                created.push(recorded);
                if recorded {
                    // What its author said of it stays, wherever it was meanwhile.
                    if withdrawn!(transaction, &pushed) == Some(true) {
                        sqlx::query("UPDATE images SET yanked = 1 WHERE image_id = $1")
                            .bind(pushed.as_str())
                            .execute(&mut *transaction)
                            .await?;
                    }
                }
                // After the image, so that one which is deleted meanwhile was waited for.
                let deleted: Option<(String,)> = sqlx::query_as(
                    "SELECT image_id FROM tombstones WHERE name = $1 AND labels_canonical = $2",
                )
                .bind(manifest.name.as_str())
                .bind(manifest.labels.canonical())
                .fetch_optional(&mut *transaction)
                .await?;
                if let Some((there,)) = deleted {
                    let there = parsed("image ID", there)?;
                    return Err(NotPublished::Deleted { reference: reference(), there });
                }
                if recorded {
                    let action =
                        if new.heals { AuditAction::Heal } else { AuditAction::Publish };
                    let (name, image) = (Some(&manifest.name), Some(&pushed));
                    let detail = Some(reference().to_string());
                    let actor = caller.actor();
                    append!(transaction, &Event { actor, action, name, image, detail }, now);
                    if !new.heals {
                        grown.push(&manifest.name);
                    }
                }
                // Whoever asks what came of the upload is told the same as who asks for the image.
                let open = sqlx::query(BROUGHT)
                    .bind(inspected.image_id().as_str())
                    .bind(new.upload.as_str())
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
                if open == 0 {
                    return Err(NotPublished::Upload);
                }
            }
            if let Some((quota, used)) = exceeded!(pool, transaction, quotas, grown) {
                return Err(NotPublished::Quota { quota, used });
            }
            transaction.commit().await?;
        });
        Ok(created)
    }
}

pub(super) const RECORD: &str = "INSERT INTO images (image_id, name, version, labels, labels_canonical,
     extra_labels, manifest, compression, file_digest, file_bytes, tar_bytes, signature_digest,
     signature_bytes, image_blob, signature_blob, signer, signing_key, signed_at, pushed_at, pushed_by,
     version_order, variant)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
     $21, $22)
 ON CONFLICT (image_id) DO UPDATE SET compression = excluded.compression,
     file_digest = excluded.file_digest, file_bytes = excluded.file_bytes,
     signature_digest = excluded.signature_digest, signature_bytes = excluded.signature_bytes,
     image_blob = excluded.image_blob, signature_blob = excluded.signature_blob,
     signer = excluded.signer, signing_key = excluded.signing_key, signed_at = excluded.signed_at,
     pushed_at = CASE
         WHEN images.image_blob = excluded.image_blob
             AND images.signature_blob = excluded.signature_blob THEN images.pushed_at
         WHEN images.pushed_at < excluded.pushed_at THEN excluded.pushed_at
         ELSE images.pushed_at + 1 END
 WHERE $23 = 1";

/// The image that is replaced: its name, its labels, and the ID of the one that replaces it.
const REPLACE: &str = "DELETE FROM images WHERE name = $1 AND labels_canonical = $2
     AND image_id <> $3 RETURNING image_id, image_blob, signature_blob, pushed_at";

/// The files of an image that goes stay for who has just looked it up: until when, which two.
pub(super) const KEEP_FOR_A_WHILE: &str = "UPDATE blobs SET leased_until = $1
     WHERE blob_key IN ($2, $3) AND leased_until < $1";

pub(super) fn labels_json(labels: &Labels) -> Result<String, CatalogError> {
    let labels: Vec<Label> = labels.clone().into();
    serde_json::to_string(&labels)
        .map_err(|error| CatalogError::Sql(sqlx::Error::Encode(error.into())))
}
