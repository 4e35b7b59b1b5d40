//! The parts of images that have come: ranges of the file, each in a blob of its own.
//!
//! A part's blob is leased by its push until it has a row here, and from then on by its upload. The
//! lease lasts longer than the upload, so that no collector takes a part from under it.

use std::time::{Duration, SystemTime};

use aci::push::{ByteRange, RangeOfFile};

use super::database::{Write as _, on};
use super::uploads::LIFETIME;
use super::{Catalog, CatalogError, Lease, count, parsed, seconds, stored};
use crate::access::CallerId;
use crate::blobs::BlobKey;
use crate::token::UploadId;

/// How much longer than its upload a part is leased. The leases of all are renewed no more often
/// than this.
const SLACK: Duration = Duration::from_secs(3600);

/// Ends the leases of an upload's parts: the upload's ID.
pub(super) const LET_PARTS_GO: &str = "UPDATE blobs SET leased_until = 0
     WHERE blob_key IN (SELECT blob_key FROM upload_parts WHERE upload_id = $1) RETURNING blob_key";
/// Forgets them: the upload's ID.
pub(super) const FORGET_PARTS: &str = "DELETE FROM upload_parts WHERE upload_id = $1";

/// A part that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredPart {
    pub(crate) range: ByteRange,
    pub(crate) key: BlobKey,
}

/// A part whose blob is stored and leased.
pub(crate) struct NewPart<'a> {
    pub(crate) upload: &'a UploadId,
    pub(crate) caller: &'a CallerId,
    pub(crate) range: RangeOfFile,
    pub(crate) key: &'a BlobKey,
}

/// How many parts there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartLimits {
    /// Of one upload.
    pub(crate) parts: u64,
    /// Bytes of all parts of one upload.
    pub(crate) bytes: u64,
    /// Bytes of all parts that a caller's uploads hold.
    pub(crate) bytes_of_caller: u64,
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is there.
    Kept,
    /// All its bytes were there already.
    Held,
    /// The upload is over, has its image, or is of a file of another size.
    NotOpen,
    /// The upload has as many parts, or bytes, as it may have.
    Full,
    /// The caller's uploads hold as much as they may.
    CallerFull,
    /// The lease of its blob ran out before this.
    NotLeased,
}

impl Catalog {
    /// Records a part. From here on it survives whatever happens to this process.
    pub(crate) async fn add_part(
        &self,
        new: &NewPart<'_>,
        limits: PartLimits,
        now: SystemTime,
    ) -> Result<Added, CatalogError> {
        let (upload, range) = (new.upload.as_str(), new.range.range());
        let lease = Lease::of_upload(new.upload, now + LIFETIME + SLACK);
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            // The oldest of its uploads stands for the caller. It and this one stay locked until the
            // end: what is counted stays so.
            sqlx::query("UPDATE uploads SET caller = caller WHERE sequence =
                     (SELECT MIN(sequence) FROM uploads WHERE caller = $1)")
                .bind(new.caller.as_str())
                .execute(&mut *transaction)
                .await?;
            let until: Option<(i64,)> = sqlx::query_as(
                "UPDATE uploads SET moved_at = $1, refused = NULL,
                     file_bytes = COALESCE(file_bytes, $2)
                 WHERE upload_id = $3 AND caller = $4 AND published IS NULL AND moved_at >= $5
                 AND (file_bytes IS NULL OR file_bytes = $2) RETURNING parts_until",
            )
            .bind(seconds(now))
            .bind(stored(new.range.total()))
            .bind(upload)
            .bind(new.caller.as_str())
            .bind(seconds(now.checked_sub(LIFETIME).unwrap_or(SystemTime::UNIX_EPOCH)))
            .fetch_optional(&mut *transaction)
            .await?;
            let Some((until,)) = until else { return Ok(Added::NotOpen) };
            let rows: Vec<(i64, i64)> = sqlx::query_as(
                "SELECT first_byte, end_byte FROM upload_parts WHERE upload_id = $1",
            )
            .bind(upload)
            .fetch_all(&mut *transaction)
            .await?;
            let (all,): (i64,) = sqlx::query_as(
                "SELECT CAST(COALESCE(SUM(end_byte - first_byte), 0) AS BIGINT)
                 FROM upload_parts JOIN uploads USING (upload_id) WHERE caller = $1",
            )
            .bind(new.caller.as_str())
            .fetch_one(&mut *transaction)
            .await?;
            if let Some(no) = refused(&rows, count(all), range, limits) {
                return Ok(no);
            }
            let held = sqlx::query(
                "UPDATE blobs SET leased_until = $1, leased_by = $2
                 WHERE blob_key = $3",
            )
            .bind(seconds(lease.until()))
            .bind(lease.by())
            .bind(new.key.as_str())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if held == 0 {
                return Ok(Added::NotLeased);
            }
            sqlx::query(
                "INSERT INTO upload_parts (upload_id, first_byte, end_byte, blob_key)
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(upload)
            .bind(stored(range.first()))
            .bind(stored(range.end()))
            .bind(new.key.as_str())
            .execute(&mut *transaction)
            .await?;
            // The parts that are there must last as long as this one.
            if until < seconds(now + LIFETIME) {
                let renewals = [
                    ("UPDATE blobs SET leased_until = $1 WHERE leased_by = $2", lease.by()),
                    ("UPDATE uploads SET parts_until = $1 WHERE upload_id = $2", upload),
                ];
                for (renew, of) in renewals {
                    sqlx::query(renew)
                        .bind(seconds(lease.until()))
                        .bind(of)
                        .execute(&mut *transaction)
                        .await?;
                }
            }
            transaction.commit().await?;
        });
        Ok(Added::Kept)
    }

    /// The parts of an upload that are there, in order.
    pub(crate) async fn parts(&self, upload: &UploadId) -> Result<Vec<StoredPart>, CatalogError> {
        let rows: Vec<(i64, i64, String)> = on!(self, pool => sqlx::query_as(
            "SELECT first_byte, end_byte, blob_key FROM upload_parts JOIN blobs USING (blob_key)
             WHERE upload_id = $1 ORDER BY first_byte, end_byte",
        )
        .bind(upload.as_str())
        .fetch_all(pool).await)?;
        let part = |(first, end, key): (i64, i64, String)| {
            let range = ByteRange::new(count(first), count(end)).ok_or_else(|| {
                CatalogError::Corrupt { wanted: "range", value: format!("{first} to {end}") }
            })?;
            Ok(StoredPart { range, key: parsed("blob key", key)? })
        };
        rows.into_iter().map(part).collect()
    }

    /// Lets go of all parts of an upload, which stays, and tells them.
    pub(crate) async fn drop_parts(&self, upload: &UploadId) -> Result<Vec<BlobKey>, CatalogError> {
        let rows: Vec<(String,)> = on!(self, pool => {
            let mut transaction = pool.write().await?;
            // The row stays locked until the end: a part comes before this or after.
            sqlx::query("UPDATE uploads SET moved_at = moved_at WHERE upload_id = $1")
                .bind(upload.as_str())
                .execute(&mut *transaction)
                .await?;
            let rows = sqlx::query_as(LET_PARTS_GO)
                .bind(upload.as_str())
                .fetch_all(&mut *transaction)
                .await?;
            sqlx::query(FORGET_PARTS).bind(upload.as_str()).execute(&mut *transaction).await?;
            transaction.commit().await?;
            rows
        });
        rows.into_iter().map(|(key,)| parsed("blob key", key)).collect()
    }
}

/// Why a part is not recorded beside those that are there.
fn refused(
    rows: &[(i64, i64)],
    of_caller: u64,
    range: ByteRange,
    limits: PartLimits,
) -> Option<Added> {
    let ranges = rows.iter().filter_map(|(first, end)| ByteRange::new(count(*first), count(*end)));
    let ranges: Vec<ByteRange> = ranges.collect();
    let bytes: u64 = ranges.iter().map(|range| range.bytes()).sum();
    let covers = |held: &ByteRange| held.first() <= range.first() && held.end() >= range.end();
    if ByteRange::merge(ranges.clone()).iter().any(covers) {
        return Some(Added::Held);
    }
    if ranges.len() as u64 >= limits.parts || bytes.saturating_add(range.bytes()) > limits.bytes {
        return Some(Added::Full);
    }
    (of_caller.saturating_add(range.bytes()) > limits.bytes_of_caller).then_some(Added::CallerFull)
}
