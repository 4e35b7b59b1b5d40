//! Uploads under way: the signature that came first, whose it is, what was said of its image, and
//! what came of it.

use std::time::{Duration, SystemTime};

use aci::{FileDigest, ImageId, Refusal};

use super::database::{Write as _, on};
use super::parts::{FORGET_PARTS, LET_PARTS_GO};
use super::{Catalog, CatalogError, count, parsed, seconds, stored, time};
use crate::access::CallerId;
use crate::blobs::BlobKey;
use crate::token::UploadId;

/// How long an upload may wait for its image, or for a further part of it.
pub(super) const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How many uploads of one caller are remembered; of more, those that published go first, then the
/// oldest.
const PER_CALLER: i64 = 256;

/// An upload that waits for its image, or had it.
#[derive(Debug, Clone)]
pub(crate) struct StoredUpload {
    /// The signature, as it was sent.
    pub(crate) signature: Vec<u8>,
    /// The image that it brought.
    pub(crate) published: Option<ImageId>,
    /// Why its image, or a part of it, was refused.
    pub(crate) refused: Option<Refusal>,
    /// Bytes of the image file, as was said.
    pub(crate) file_bytes: Option<u64>,
    /// The image file, as was said.
    pub(crate) file_digest: Option<FileDigest>,
    /// When it ends, unless a further part comes.
    pub(crate) expires: SystemTime,
}

/// An upload that begins.
pub(crate) struct NewUpload<'a> {
    pub(crate) id: &'a UploadId,
    pub(crate) caller: &'a CallerId,
    pub(crate) signature: &'a [u8],
    pub(crate) file_bytes: Option<u64>,
    pub(crate) file_digest: Option<&'a FileDigest>,
}

#[derive(sqlx::FromRow)]
struct UploadRow {
    signature: Vec<u8>,
    published: Option<String>,
    refused: Option<String>,
    file_bytes: Option<i64>,
    file_digest: Option<String>,
    moved_at: i64,
}

impl TryFrom<UploadRow> for StoredUpload {
    type Error = CatalogError;

    fn try_from(row: UploadRow) -> Result<Self, CatalogError> {
        let refused = row.refused.map(|text| {
            serde_json::from_str(&text)
                .map_err(|_| CatalogError::Corrupt { wanted: "refusal", value: text })
        });
        Ok(Self {
            signature: row.signature,
            published: row.published.map(|id| parsed("image ID", id)).transpose()?,
            refused: refused.transpose()?,
            file_bytes: row.file_bytes.map(count),
            file_digest: row.file_digest.map(|text| parsed("file digest", text)).transpose()?,
            expires: time(row.moved_at) + LIFETIME,
        })
    }
}

/// Uploads that have not moved since then are over.
fn over_before(now: SystemTime) -> i64 {
    seconds(now.checked_sub(LIFETIME).unwrap_or(SystemTime::UNIX_EPOCH))
}

impl Catalog {
    /// Opens an upload of which nothing more is known.
    pub(crate) async fn open_upload(
        &self,
        id: &UploadId,
        caller: &CallerId,
        signature: &[u8],
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        let new = NewUpload { id, caller, signature, file_bytes: None, file_digest: None };
        self.begin_upload(&new, now).await
    }

    /// Opens an upload, and ends those nobody will finish.
    pub(crate) async fn begin_upload(
        &self,
        new: &NewUpload<'_>,
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        // A client that opens uploads and never sends an image would fill the disk.
        let rows: Vec<(String,)> = on!(self, pool => sqlx::query_as(
            "SELECT upload_id FROM uploads WHERE caller = $1 AND sequence NOT IN (
                 SELECT sequence FROM uploads WHERE caller = $1
                 ORDER BY published IS NULL DESC, created_at DESC, sequence DESC LIMIT $2)",
        )
        .bind(new.caller.as_str())
        .bind(PER_CALLER - 1)
        .fetch_all(pool).await)?;
        for (id,) in rows {
            self.end(&id, i64::MAX).await?;
        }
        self.end_old(now).await?;
        on!(self, pool => {
            sqlx::query(
                "INSERT INTO uploads (upload_id, caller, signature, created_at, moved_at,
                     file_bytes, file_digest)
                 VALUES ($1, $2, $3, $4, $4, $5, $6)",
            )
            .bind(new.id.as_str())
            .bind(new.caller.as_str())
            .bind(new.signature)
            .bind(seconds(now))
            .bind(new.file_bytes.map(stored))
            .bind(new.file_digest.map(FileDigest::as_str))
            .execute(pool)
            .await?;
        });
        Ok(())
    }

    /// The newest upload by which this caller sends, or has sent, this file under this signature.
    pub(crate) async fn upload_of(
        &self,
        caller: &CallerId,
        file: &FileDigest,
        signature: &[u8],
        now: SystemTime,
    ) -> Result<Option<UploadId>, CatalogError> {
        let row: Option<(String,)> = on!(self, pool => sqlx::query_as(
            "SELECT upload_id FROM uploads
             WHERE caller = $1 AND file_digest = $2 AND signature = $3 AND moved_at >= $4
             ORDER BY sequence DESC LIMIT 1",
        )
        .bind(caller.as_str())
        .bind(file.as_str())
        .bind(signature)
        .bind(over_before(now))
        .fetch_optional(pool).await)?;
        row.map(|(id,)| parsed("upload ID", id)).transpose()
    }

    /// The upload of this ID, where this caller opened it and it is not over. It
    /// stays until then, so that a client which never saw the answer can ask again.
    pub(crate) async fn upload(
        &self,
        id: &UploadId,
        caller: &CallerId,
        now: SystemTime,
    ) -> Result<Option<StoredUpload>, CatalogError> {
        let row: Option<UploadRow> = on!(self, pool => sqlx::query_as(
            "SELECT signature, published, refused, file_bytes, file_digest, moved_at FROM uploads
             WHERE upload_id = $1 AND caller = $2 AND moved_at >= $3",
        )
        .bind(id.as_str())
        .bind(caller.as_str())
        .bind(over_before(now))
        .fetch_optional(pool).await)?;
        row.map(StoredUpload::try_from).transpose()
    }

    /// Gives an upload the signature that came after it was opened. What was refused before is past.
    pub(crate) async fn sign_upload(
        &self,
        id: &UploadId,
        signature: &[u8],
    ) -> Result<(), CatalogError> {
        on!(self, pool => {
            sqlx::query("UPDATE uploads SET signature = $1, refused = NULL WHERE upload_id = $2")
                .bind(signature)
                .bind(id.as_str())
                .execute(pool)
                .await?;
        });
        Ok(())
    }

    /// Notes why the image of an upload, or a part of it, was refused, unless one was published.
    pub(crate) async fn refuse_upload(
        &self,
        id: &UploadId,
        refusal: &Refusal,
    ) -> Result<(), CatalogError> {
        let refusal = serde_json::to_string(refusal)
            .map_err(|error| CatalogError::Sql(sqlx::Error::Encode(error.into())))?;
        on!(self, pool => {
            sqlx::query(
                "UPDATE uploads SET refused = $1 WHERE upload_id = $2 AND published IS NULL",
            )
                .bind(refusal)
                .bind(id.as_str())
                .execute(pool)
                .await?;
        });
        Ok(())
    }

    /// Notes of which file an upload is, where nobody had said so.
    pub(crate) async fn announce_file(
        &self,
        id: &UploadId,
        file: &FileDigest,
    ) -> Result<(), CatalogError> {
        on!(self, pool => {
            sqlx::query(
                "UPDATE uploads SET file_digest = $1 WHERE upload_id = $2 AND file_digest IS NULL",
            )
            .bind(file.as_str())
            .bind(id.as_str())
            .execute(pool)
            .await?;
        });
        Ok(())
    }

    /// Notes that an upload brought an image that was there already.
    pub(crate) async fn upload_brought(
        &self,
        id: &UploadId,
        image: &ImageId,
    ) -> Result<(), CatalogError> {
        on!(self, pool => {
            sqlx::query(BROUGHT).bind(image.as_str()).bind(id.as_str()).execute(pool).await?;
        });
        Ok(())
    }

    /// Ends an upload. What it held is let go, and told.
    pub(crate) async fn end_upload(&self, id: &UploadId) -> Result<Vec<BlobKey>, CatalogError> {
        self.end(id.as_str(), i64::MAX).await
    }

    /// Ends the uploads whose time is over, and what crashes left of those that were done. What they
    /// held is let go, for a collector.
    pub(crate) async fn expire_uploads(&self, now: SystemTime) -> Result<(), CatalogError> {
        self.end_old(now).await?;
        let rows: Vec<(String,)> = on!(self, pool => sqlx::query_as(
            "SELECT DISTINCT upload_id FROM upload_parts JOIN uploads USING (upload_id)
             WHERE published IS NOT NULL",
        )
        .fetch_all(pool).await)?;
        for (id,) in rows {
            self.drop_parts(&parsed("upload ID", id)?).await?;
        }
        Ok(())
    }

    async fn end_old(&self, now: SystemTime) -> Result<(), CatalogError> {
        let before = over_before(now);
        let rows: Vec<(String,)> = on!(self, pool => {
            sqlx::query_as("SELECT upload_id FROM uploads WHERE moved_at < $1")
                .bind(before)
                .fetch_all(pool)
                .await?
        });
        for (id,) in rows {
            self.end(&id, before).await?;
        }
        Ok(())
    }

    /// Ends an upload, unless it has moved since then.
    async fn end(&self, id: &str, before: i64) -> Result<Vec<BlobKey>, CatalogError> {
        let rows: Vec<(String,)> = on!(self, pool => {
            let mut transaction = pool.write().await?;
            // The row stays locked until the end: a part comes before this or never.
            let ends = sqlx::query(
                "UPDATE uploads SET moved_at = 0 WHERE upload_id = $1 AND moved_at < $2",
            )
            .bind(id)
            .bind(before)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if ends == 0 {
                return Ok(Vec::new());
            }
            let rows = sqlx::query_as(LET_PARTS_GO)
                .bind(id)
                .fetch_all(&mut *transaction)
                .await?;
            for forget in [FORGET_PARTS, "DELETE FROM uploads WHERE upload_id = $1"] {
                sqlx::query(forget).bind(id).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            rows
        });
        rows.into_iter().map(|(key,)| parsed("blob key", key)).collect()
    }
}

/// An upload brought an image: the image's ID, the upload's.
pub(super) const BROUGHT: &str =
    "UPDATE uploads SET published = $1, refused = NULL WHERE upload_id = $2";
