//! When blobs were last compared with their keys, and which are lost or damaged.

use std::time::SystemTime;

use aci::{FileDigest, Name};

use super::database::on;
use super::{Catalog, CatalogError, count, parsed, seconds, time};
use crate::blobs::BlobKey;

/// A blob that is lost or damaged, and an image that refers to it.
#[derive(Debug, Clone)]
pub(crate) struct DamagedBlob {
    pub(crate) key: BlobKey,
    pub(crate) since: SystemTime,
    pub(crate) image_id: aci::ImageId,
    pub(crate) name: Name,
}

impl Catalog {
    /// Blobs of images that were not checked since then, the oldest check first, with their sizes.
    pub(crate) async fn unchecked_blobs(
        &self,
        since: SystemTime,
        most: u32,
    ) -> Result<Vec<(BlobKey, u64)>, CatalogError> {
        let rows: Vec<(String, i64)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT blob_key, bytes FROM blobs WHERE checked_at < $1
                 AND (EXISTS (SELECT 1 FROM images WHERE image_blob = blob_key)
                     OR EXISTS (SELECT 1 FROM images WHERE signature_blob = blob_key))
                 ORDER BY checked_at, blob_key LIMIT $2",
            )
            .bind(microseconds(since))
            .bind(i64::from(most))
            .fetch_all(pool)
            .await?
        });
        rows.into_iter().map(|(key, bytes)| Ok((parsed("blob key", key)?, count(bytes)))).collect()
    }

    /// Every blob that images refer to, with its size.
    pub(crate) async fn image_blobs(&self) -> Result<Vec<(BlobKey, u64)>, CatalogError> {
        let rows: Vec<(String, i64)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT blob_key, bytes FROM blobs
                 WHERE blob_key IN (SELECT image_blob FROM images)
                 OR blob_key IN (SELECT signature_blob FROM images) ORDER BY blob_key",
            )
            .fetch_all(pool)
            .await?
        });
        rows.into_iter().map(|(key, bytes)| Ok((parsed("blob key", key)?, count(bytes)))).collect()
    }

    /// The names of images that have this file.
    pub(crate) async fn names_of_file(&self, file: &FileDigest) -> Result<Vec<Name>, CatalogError> {
        let key = BlobKey::image(file);
        let rows: Vec<(String,)> = on!(self, pool => {
            sqlx::query_as("SELECT DISTINCT name FROM images WHERE image_blob = $1")
                .bind(key.as_str())
                .fetch_all(pool)
                .await?
        });
        rows.into_iter().map(|(name,)| parsed("image name", name)).collect()
    }

    /// Notes that a blob is what its key says.
    pub(crate) async fn blob_is_good(
        &self,
        key: &BlobKey,
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        on!(self, pool => {
            sqlx::query("UPDATE blobs SET checked_at = $1, damaged_at = NULL WHERE blob_key = $2")
                .bind(microseconds(now))
                .bind(key.as_str())
                .execute(pool)
                .await?;
        });
        Ok(())
    }

    /// Notes that a blob is lost or damaged; `false` where no image refers to it any more.
    pub(crate) async fn blob_is_damaged(
        &self,
        key: &BlobKey,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        let noted = on!(self, pool => {
            sqlx::query(
                "UPDATE blobs SET checked_at = $1, damaged_at = COALESCE(damaged_at, $3)
                 WHERE blob_key = $2
                 AND (EXISTS (SELECT 1 FROM images WHERE image_blob = $2)
                     OR EXISTS (SELECT 1 FROM images WHERE signature_blob = $2))",
            )
            .bind(microseconds(now))
            .bind(key.as_str())
            .bind(seconds(now))
            .execute(pool)
            .await?
            .rows_affected()
        });
        Ok(noted == 1)
    }

    /// The blobs that are lost or damaged, with the images that refer to them.
    pub(crate) async fn damaged_blobs(&self) -> Result<Vec<DamagedBlob>, CatalogError> {
        let rows: Vec<(String, i64, String, String)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT blob_key, damaged_at, image_id, name FROM blobs
                 JOIN images ON image_blob = blob_key OR signature_blob = blob_key
                 WHERE damaged_at IS NOT NULL ORDER BY blob_key, image_id",
            )
            .fetch_all(pool)
            .await?
        });
        let damaged = |(key, since, image_id, name)| {
            Ok(DamagedBlob {
                key: parsed("blob key", key)?,
                since: time(since),
                image_id: parsed("image ID", image_id)?,
                name: parsed("image name", name)?,
            })
        };
        rows.into_iter().map(damaged).collect()
    }
}

/// Microseconds since 1970.
fn microseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
