//! What the blob store holds, who leases it, and what may go.
//!
//! A blob's row is written before the blob, and removed after it: so what the store holds is known
//! here, whatever dies when. A push leases its blobs until it has recorded its image, which refers to
//! them. A collector condemns what is neither leased nor referred to, removes it from the store, and
//! then forgets it; who wants a condemned blob waits until that is done.

use std::time::SystemTime;

use super::database::{Write as _, on};
use super::{Catalog, CatalogError, count, parsed, seconds, stored};
use crate::blobs::BlobKey;
use crate::token::UploadId;

/// Until when blobs stay though nothing refers to them, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    until: SystemTime,
    /// The node, a dot, and the beginning of the upload's ID.
    by: String,
}

impl Lease {
    pub(crate) fn new(node: &str, upload: &UploadId, until: SystemTime) -> Self {
        Self { until, by: format!("{node}.{}", &upload.as_str()[..16]) }
    }

    /// The lease of an upload's parts: no node's, since it outlives them.
    pub(super) fn of_upload(upload: &UploadId, until: SystemTime) -> Self {
        Self::new("upload", upload, until)
    }

    pub(super) fn by(&self) -> &str {
        &self.by
    }

    pub(super) fn until(&self) -> SystemTime {
        self.until
    }
}

impl Catalog {
    /// Leases blobs, all or none; `false` where one of them is condemned and not gone yet.
    pub(crate) async fn lease(
        &self,
        blobs: &[(BlobKey, u64)],
        lease: &Lease,
    ) -> Result<bool, CatalogError> {
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            for (key, bytes) in blobs {
                let leased = sqlx::query(
                    "INSERT INTO blobs (blob_key, bytes, leased_until, leased_by)
                     VALUES ($1, $2, $3, $4)
                     ON CONFLICT (blob_key) DO UPDATE SET leased_until = excluded.leased_until,
                         leased_by = excluded.leased_by
                     WHERE blobs.condemned_at IS NULL",
                )
                .bind(key.as_str())
                .bind(stored(*bytes))
                .bind(seconds(lease.until))
                .bind(&*lease.by)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
                if leased == 0 {
                    return Ok(false);
                }
            }
            transaction.commit().await?;
        });
        Ok(true)
    }

    /// Condemns a blob that nothing came of; `false` where it is another's by now, or an image's.
    pub(crate) async fn give_up(
        &self,
        key: &BlobKey,
        lease: &Lease,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        let condemned = on!(self, pool => {
            sqlx::query(
                "UPDATE blobs SET condemned_at = $1 WHERE blob_key = $2 AND leased_by = $3
                 AND condemned_at IS NULL
                 AND NOT EXISTS (SELECT 1 FROM images WHERE image_blob = $2)
                 AND NOT EXISTS (SELECT 1 FROM images WHERE signature_blob = $2)",
            )
            .bind(seconds(now))
            .bind(key.as_str())
            .bind(&*lease.by)
            .execute(pool)
            .await?
            .rows_affected()
        });
        Ok(condemned == 1)
    }

    /// Ends all leases of a node: it has just started, so none of its pushes is under way.
    pub(crate) async fn release_all(&self, node: &str) -> Result<(), CatalogError> {
        // What follows the dot in ASCII is the slash.
        on!(self, pool => {
            sqlx::query(
                "UPDATE blobs SET leased_until = 0, leased_by = ''
                 WHERE leased_by > $1 || '.' AND leased_by < $1 || '/'",
            )
            .bind(node)
            .execute(pool)
            .await?;
        });
        Ok(())
    }

    /// Condemns blobs that nothing leases or refers to, and gives them with their sizes: these, and
    /// those that were condemned before and are not gone.
    pub(crate) async fn condemn(
        &self,
        now: SystemTime,
        most: u32,
    ) -> Result<Vec<(BlobKey, u64)>, CatalogError> {
        let rows: Vec<(String, i64)> = on!(self, pool => {
            let mut transaction = pool.write().await?;
            sqlx::query(
                "UPDATE blobs SET condemned_at = $1 WHERE condemned_at IS NULL
                 AND leased_until <= $1 AND blob_key IN (
                     SELECT blob_key FROM blobs AS free WHERE leased_until <= $1
                     AND NOT EXISTS (SELECT 1 FROM images WHERE image_blob = free.blob_key)
                     AND NOT EXISTS (SELECT 1 FROM images WHERE signature_blob = free.blob_key)
                     LIMIT $2)",
            )
            .bind(seconds(now))
            .bind(i64::from(most))
            .execute(&mut *transaction)
            .await?;
            let rows = sqlx::query_as(
                "SELECT blob_key, bytes FROM blobs WHERE condemned_at IS NOT NULL
                 ORDER BY condemned_at LIMIT $1",
            )
            .bind(i64::from(most))
            .fetch_all(&mut *transaction)
            .await?;
            transaction.commit().await?;
            rows
        });
        rows.into_iter().map(|(key, bytes)| Ok((parsed("blob key", key)?, count(bytes)))).collect()
    }

    /// Forgets a condemned blob: it is gone from the store.
    pub(crate) async fn forget(&self, key: &BlobKey) -> Result<(), CatalogError> {
        on!(self, pool => {
            sqlx::query("DELETE FROM blobs WHERE blob_key = $1 AND condemned_at IS NOT NULL")
                .bind(key.as_str())
                .execute(pool)
                .await?;
        });
        Ok(())
    }
}
