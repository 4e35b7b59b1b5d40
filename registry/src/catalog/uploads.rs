//! Uploads under way: the signature that came first, whose it is, and what came of it.

use std::time::{Duration, SystemTime};

use aci::{ImageId, Refusal};

use super::database::{Write as _, on};
use super::{Catalog, CatalogError, seconds};
use crate::access::CallerId;
use crate::token::UploadId;

/// How long an upload may wait for its image.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How many uploads of one caller are remembered; of more, those that published go first, then the
/// oldest.
const PER_CALLER: i64 = 256;

/// An upload that waits for its image, or had it.
#[derive(Debug, Clone)]
pub(crate) struct StoredUpload {
    /// The signature, as it was sent.
    pub(crate) signature: Vec<u8>,
    /// Whether its image is served.
    pub(crate) is_published: bool,
    /// Why a part of it was refused.
    pub(crate) refused: Option<Refusal>,
}

#[derive(sqlx::FromRow)]
struct UploadRow {
    signature: Vec<u8>,
    published: Option<String>,
    refused: Option<String>,
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
            is_published: row.published.is_some(),
            refused: refused.transpose()?,
        })
    }
}

impl Catalog {
    /// Opens an upload, and forgets those nobody will finish.
    pub(crate) async fn open_upload(
        &self,
        id: &UploadId,
        caller: &CallerId,
        signature: &[u8],
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        on!(self, pool => {
        let mut transaction = pool.write().await?;
               sqlx::query("DELETE FROM uploads WHERE created_at < $1")
                   .bind(seconds(now.checked_sub(LIFETIME).unwrap_or(SystemTime::UNIX_EPOCH)))
                   .execute(&mut *transaction)
                   .await?;
               // A client that opens uploads and never sends an image would fill the disk.
               sqlx::query(
                   "DELETE FROM uploads WHERE caller = $1 AND sequence NOT IN (
                 SELECT sequence FROM uploads WHERE caller = $1
                 ORDER BY published IS NULL DESC, created_at DESC, sequence DESC LIMIT $2)",
               )
               .bind(caller.as_str())
               .bind(PER_CALLER - 1)
               .execute(&mut *transaction)
               .await?;
               sqlx::query(
                   "INSERT INTO uploads (upload_id, caller, signature, created_at)
                    VALUES ($1, $2, $3, $4)",
               )
               .bind(id.as_str())
               .bind(caller.as_str())
               .bind(signature)
               .bind(seconds(now))
               .execute(&mut *transaction)
               .await?;
               transaction.commit().await?;
        });
        Ok(())
    }

    /// The upload of this ID, where this caller opened it and it is not too old. It
    /// stays until then, so that a client which never saw the answer can ask again.
    pub(crate) async fn upload(
        &self,
        id: &UploadId,
        caller: &CallerId,
        now: SystemTime,
    ) -> Result<Option<StoredUpload>, CatalogError> {
        let row: Option<UploadRow> = on!(self, pool => sqlx::query_as(
            "SELECT signature, published, refused FROM uploads
             WHERE upload_id = $1 AND caller = $2 AND created_at >= $3",
        )
        .bind(id.as_str())
        .bind(caller.as_str())
        .bind(seconds(now.checked_sub(LIFETIME).unwrap_or(SystemTime::UNIX_EPOCH)))
        .fetch_optional(pool).await)?;
        row.map(StoredUpload::try_from).transpose()
    }

    /// Gives an upload the signature that came after it was opened. What was refused before is past.
    pub(crate) async fn sign_upload(
        &self,
        id: &UploadId,
        signature: &[u8],
    ) -> Result<(), CatalogError> {
        on!(self, pool => { sqlx::query("UPDATE uploads SET signature = $1, refused = NULL WHERE upload_id = $2")
            .bind(signature)
            .bind(id.as_str())
            .execute(pool).await?; });
        Ok(())
    }

    /// Notes why a part of an upload was refused.
    pub(crate) async fn refuse_upload(
        &self,
        id: &UploadId,
        refusal: &Refusal,
    ) -> Result<(), CatalogError> {
        let refusal = serde_json::to_string(refusal)
            .map_err(|error| CatalogError::Sql(sqlx::Error::Encode(error.into())))?;
        on!(self, pool => { sqlx::query("UPDATE uploads SET refused = $1 WHERE upload_id = $2")
            .bind(refusal)
            .bind(id.as_str())
            .execute(pool).await?; });
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
}

/// An upload brought an image: the image's ID, the upload's.
pub(super) const BROUGHT: &str =
    "UPDATE uploads SET published = $1, refused = NULL WHERE upload_id = $2";
